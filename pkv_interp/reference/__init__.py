"""Slow, obvious twins of the engine: one row at a time, in plain PyTorch and in TransformerLens.

`whole_layers` is the engine itself without the rows that come in late, as a baseline.

Import `sequential`, `bridge` or `verify` by name: `bridge` loads TransformerLens, which takes seconds, and
`verify` does so when it is called.
"""
