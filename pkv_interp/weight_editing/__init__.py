"""Edits of weights, the contrast to edits of the cache: rank-one (ROME) and low-rank (LoRA)."""
