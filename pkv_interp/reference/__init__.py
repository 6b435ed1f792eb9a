"""Slow, obvious twins of the engine: one row at a time, in plain PyTorch and in TransformerLens.

Import `sequential` or `bridge` by name: only the second loads TransformerLens, which takes seconds.
"""
