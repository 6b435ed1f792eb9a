"""The frozen cache, the caches built over it without a copy, and the forwards that make one (plain torch)."""

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.columns import ColumnsLayer, columns_cache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.cache.frozen import FrozenCache, Part
from pkv_interp.cache.reposition import reposition

__all__ = [
    "AttentionLayout",
    "ColumnsLayer",
    "Computed",
    "FrozenCache",
    "Part",
    "Runner",
    "columns_cache",
    "reposition",
]
