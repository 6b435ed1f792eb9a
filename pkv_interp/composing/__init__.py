"""Composing: chunks prefilled once, moved to new positions and spliced into other contexts."""

from pkv_interp.composing.chunk import Chunk, precompile, prefix, token_ids
from pkv_interp.composing.library import ChunkLibrary
from pkv_interp.composing.repair import cacheblend_repair, link_repair, seam_repair
from pkv_interp.composing.splice import join, splice

__all__ = [
    "Chunk",
    "ChunkLibrary",
    "cacheblend_repair",
    "join",
    "link_repair",
    "precompile",
    "prefix",
    "seam_repair",
    "splice",
    "token_ids",
]
