"""The frozen cache and the caches that are built over it without copying it (plain torch)."""

from pkv_interp.cache.columns import ColumnsLayer, columns_cache
from pkv_interp.cache.frozen import FrozenCache, Part

__all__ = ["ColumnsLayer", "FrozenCache", "Part", "columns_cache"]
