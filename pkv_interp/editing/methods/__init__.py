"""The editing methods, one file each; importing this registers them."""

from pkv_interp.editing.methods import (
    auto,
    cacheblend,
    epic,
    erratum,
    field_erratum,
    field_only,
    full_reprefill,
    hoist,
    oracle_patch,
    recompute,
    stale,
    suffix_recompute,
)

__all__ = [
    "auto",
    "cacheblend",
    "epic",
    "erratum",
    "field_erratum",
    "field_only",
    "full_reprefill",
    "hoist",
    "oracle_patch",
    "recompute",
    "stale",
    "suffix_recompute",
]
