"""State that changes, edited into the weights instead of the cache: what changes with it that should not?

ROME and LoRA beside cache edits, on one record each of several families. Rank-one edits are validated on
facts first; layers are chosen on discovery families and methods scored on held-out ones. Source of the
questions: arXiv 2606.17107, weight editing; protocol and fixes are in docs/methods.md.
"""
