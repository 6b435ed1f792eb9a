"""A field that says one thing and notes that say another: which of them the decision goes with.

The notes stand in keys and values between two prompts of a field pair: their own at strength 0, those of the
other prompt at strength 1. The field's own columns stay as they are.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun, margin_of


def blended(base: FrozenCache, other: FrozenCache, positions: Sequence[int], share: float) -> FrozenCache:
    """``base`` with its columns at ``positions`` moved a share of the way to those of ``other``.

    Both hold the same positions, so that keys are turned alike and may be mixed.

    Args:
        base: is not changed.
        other: of the same length, shape and attention layout.
        positions: in both caches.
        share: 0 leaves ``base`` as it is, 1 takes the columns of ``other``.

    Raises:
        PkvError: as ``FrozenCache.replace``.
    """
    put = base.replace(positions, other)  # refuses what does not fit
    mixed = {
        part: tuple(
            torch.lerp(a, b, share) for a, b in zip(getattr(base, part), getattr(put, part), strict=True)
        )
        for part in ("keys", "values")
    }
    return replace(base, **mixed)


def conflict_margins(engine: Engine, pair: PairRun, strengths: Sequence[float]) -> list[float]:
    """Margins in logits of the corrupt prompt's field with notes that say what the clean prompt's say.

    A margin below zero goes with the field, one above zero with the notes.

    Args:
        engine: of the model that the prompts were run on.
        pair: a field pair.
        strengths: of the clean notes, each from 0 to 1.
    """
    ids, notes = pair.corrupt.ids, pair.notes
    found = []
    for strength in strengths:
        cache = blended(pair.corrupt.cache, pair.clean.cache, notes, strength)
        found.append(margin_of(engine.open(ids, cache), pair.case.action_ids))
    return found
