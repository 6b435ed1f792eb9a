"""What an edited cache is made of: columns kept from before the edit, and columns that the edit made."""

from __future__ import annotations

import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.editing import State
from pkv_interp.measure.knockout import SINK

SINKS, REST, FIELD, OLD, NEW, ERRATUM, QUESTION = SOURCES = (
    "sink", "rest", "field", "old notes", "new tokens", "erratum", "question",
)  # fmt: skip


def edit_sources(before: State, after: State, field: str, length: int) -> dict[str, tuple[int, ...]]:
    """Each position before the decision token in one source; sources may be empty.

    ``sink`` and ``rest`` stand before the field, ``field`` is its place in the text, ``erratum`` any line at
    the end that gives its value (hoisted ones too). Other tokens after the field are ``old notes`` where the
    column of every layer is bit for bit that of before the edit, and ``new tokens`` where it is not:
    recomputed, pasted or moved. ``question`` runs after the edit, at every decision.

    Args:
        before: the state that was edited.
        after: that state after the edit.
        field: name of the field.
        length: tokens of the prompt, the decision token included.
    """
    start, stop = after.layout.head.prompt.spans[field]
    notices = {
        position
        for index in after.layout.notices(field)
        for position in range(after.layout.start_of(index), after.layout.start_of(index + 1))
    }
    kept = columns_kept(before.cache, after.cache)
    found: dict[str, list[int]] = {name: [] for name in SOURCES}
    for position in range(length - 1):
        if position < start:
            name = SINKS if position < SINK else REST
        elif position < stop:
            name = FIELD
        elif position >= after.cache.length:
            name = QUESTION
        elif position in notices:
            name = ERRATUM
        else:
            name = OLD if position < len(kept) and kept[position] else NEW
        found[name].append(position)
    return {name: tuple(positions) for name, positions in found.items()}


def columns_kept(before: FrozenCache, after: FrozenCache) -> list[bool]:
    """Per position that both caches have, whether its column is the same in every layer, bit for bit."""
    length = min(before.length, after.length)
    same = torch.ones(length, dtype=torch.bool, device=before.keys[0].device)
    for one, other in zip((*before.keys, *before.values), (*after.keys, *after.values), strict=True):
        if one is not other:
            same &= (one[0, :, :length] == other[0, :, :length]).all(-1).all(0)
    return same.tolist()
