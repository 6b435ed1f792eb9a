"""Slow, obvious twins of the engine: one row at a time, in plain PyTorch and in TransformerLens.

Import `sequential`, `bridge` or `verify` by name: `bridge` loads TransformerLens, which takes seconds, and
`verify` does so when it is called.
"""
