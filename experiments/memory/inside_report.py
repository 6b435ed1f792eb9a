"""Edits inside a prefilled memory and inside a spliced one, each on its own scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.memory.settings import MemorySettings
from experiments.memory.tables import InsideLine
from experiments.memory.wordings import BOTH, Both, PersonaEdits
from pkv_interp.records.tables import interval
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats.recovery import recovery

_CACHES = ("prefilled", "spliced")


def inside(runs: Sequence[PersonaEdits], scoring: Scoring[MemorySettings]) -> list[InsideLine]:
    """Recovery by method, on either cache.

    A line is of a competent model where the new value's prefill is right often enough, after a change to yes
    as well as after one to no; margins are towards the answer after the change.

    Args:
        runs: edits by persona.
        scoring: threshold, floor and resampling.
    """
    lines: list[InsideLine] = []
    for relevant in sorted({one.relevant for run in runs for one in run.edits}):
        pairs = [(run.persona, one) for run in runs for one in run.edits if one.relevant == relevant]
        lines += [_line(pairs, relevant, method, scoring) for method in BOTH]
    return lines


def _line(
    pairs: Sequence[tuple[str, Both]], relevant: int, method: str, scoring: Scoring[MemorySettings]
) -> InsideLine:
    names = [name for name, _ in pairs]
    columns: dict[str, Any] = {}
    for cache in _CACHES:
        margins = {
            end: np.array([getattr(one, cache)[end] for _, one in pairs]) for end in ("stale", "new", method)
        }
        gap = margins["new"] - margins["stale"]
        floor = scoring.floor if (np.abs(gap) > scoring.floor).any() else 0.0
        found = recovery(
            margins[method], margins["new"], margins["stale"], names, noise_floor=floor, **scoring.resampling
        )
        columns |= interval(cache, found.estimate)
        columns[f"{cache}_right"] = float((margins[method] > 0).mean())
    right = np.array([one.prefilled["new"] > 0 for _, one in pairs])
    # Questions come in twos: a change to no, then one to yes.
    sides = (right[0::2].mean(), right[1::2].mean())
    able = not scoring.random_weights and min(sides) >= scoring.settings.competence_threshold
    return InsideLine(
        relevant=relevant,
        method=method,
        **columns,
        tokens=float(np.mean([one.tokens[method] for _, one in pairs])),
        competent=bool(able),
        same_tokens=all(one.same_tokens for _, one in pairs),
        n=len(pairs),
        n_families=len(set(names)),
    )
