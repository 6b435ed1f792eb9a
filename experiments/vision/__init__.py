"""Chunks with pictures: spliced at their place, moved, repaired at the seam, with fields edited beside them.

Everything is compared with the full prefill of the same tokens, on items where that is right and where the
answers of a kind vary: where a model always says the same, agreement tells nothing.
"""
