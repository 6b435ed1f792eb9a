"""Slow, obvious twins of the engine: one row at a time, in plain PyTorch and in TransformerLens."""

from pkv_interp.reference.bridge import BridgeTwin
from pkv_interp.reference.sequential import Sequential

__all__ = ["BridgeTwin", "Sequential"]
