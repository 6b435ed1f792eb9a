"""Recovery of every editing method on the recomputed and on the composed cache."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from experiments.keystone.edits import CacheEdits, SceneEdits
from experiments.keystone.settings import KeystoneSettings, prefills_anew
from experiments.keystone.tables import MethodLine, Scale
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import interval
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Resampling, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.stats import mean
from pkv_interp.stats.recovery import recovery

Cache = Literal["recomputed", "composed"]
CACHES: tuple[Cache, ...] = ("recomputed", "composed")
_WORDS = {"recomputed": "in a prefilled context", "composed": "inside a moved chunk"}


@dataclass(frozen=True, eq=False)
class CacheScale:
    """The ends of one cache's scale; margins in logits.

    Attributes:
        old, new: with either value.
        floor: edits whose ends are no further apart are left out.
    """

    old: Float[np.ndarray, " edits"]
    new: Float[np.ndarray, " edits"]
    floor: float

    @property
    def excluded(self) -> np.ndarray:
        """Which edits are left out, [edits]."""
        return np.abs(self.new - self.old) <= self.floor


@dataclass(frozen=True)
class Methods:
    """Headlines, tables and rows of all methods."""

    headlines: Sequence[Headline]
    tables: Sequence[MethodLine | Scale]
    rows: Sequence[Row]


def methods(edits: Sequence[SceneEdits], scoring: Scoring[KeystoneSettings]) -> Methods:
    """Recovery of each method on either cache, each on its own scale, and how often both decide alike."""
    names = [one.family for one in edits]
    scales: dict[Cache, CacheScale] = {
        cache: _scale([_on(one, cache) for one in edits], scoring.floor) for cache in CACHES
    }
    parts = [_method(edits, method, scales, scoring.resampling) for method in scoring.settings.methods]
    return Methods(
        headlines=[headline for part in parts for headline in part.headlines],
        tables=[
            *(line for part in parts for line in part.tables),
            *(_ends(cache, scale, names, scoring.resampling) for cache, scale in scales.items()),
        ],
        rows=[row for part in parts for row in part.rows],
    )


def _method(
    edits: Sequence[SceneEdits], method: str, scales: Mapping[Cache, CacheScale], resampling: Resampling
) -> Methods:
    """One method on each cache on which it was measured."""
    names = [one.family for one in edits]
    columns: dict[str, Any] = _nothing("composed")
    margins: dict[Cache, np.ndarray] = {}
    headlines: list[Headline] = []
    rows: list[Row] = []
    for cache, scale in scales.items():
        if cache == "composed" and prefills_anew(method):
            continue
        after = stacked(edits, lambda e, cache=cache: _on(e, cache).methods[method].margin)
        found = recovery(after, scale.new, scale.old, names, noise_floor=scale.floor, **resampling)
        columns |= interval(cache, found.estimate)
        columns[f"{cache}_right"] = float((after > 0).mean())
        columns[f"{cache}_excluded"] = found.n_excluded
        headlines.append(Headline(f"{method}_{cache}", found.estimate, f"{method} {_WORDS[cache]}"))
        rows += _rows(edits, f"{method}/{cache}", scale, after)
        margins[cache] = after
    alike = None
    if len(margins) == len(CACHES):
        same = (margins["recomputed"] > 0) == (margins["composed"] > 0)
        alike = mean(same, names, bounds=(0.0, 1.0), **resampling)
    columns |= interval("agreement", alike)
    tokens = float(stacked(edits, lambda e: e.recomputed.methods[method].tokens).mean())
    n = {"n": len(edits), "n_families": len(set(names))}
    return Methods(headlines, [MethodLine(method=method, tokens=tokens, **n, **columns)], rows)


def _on(edits: SceneEdits, cache: Cache) -> CacheEdits:
    return edits.recomputed if cache == "recomputed" else edits.composed


def _nothing(cache: Cache) -> dict[str, Any]:
    """Columns of a cache on which a method was not measured."""
    return {**interval(cache, None), f"{cache}_right": None, f"{cache}_excluded": None}


def _scale(edits: Sequence[CacheEdits], floor: float) -> CacheScale:
    old, new = stacked(edits, lambda e: e.old), stacked(edits, lambda e: e.new)
    # Where nothing is above the floor (a random model) all are kept; the gate has failed then.
    return CacheScale(old, new, floor if (np.abs(new - old) > floor).any() else 0.0)


def _ends(cache: Cache, scale: CacheScale, names: Sequence[str], resampling: Resampling) -> Scale:
    gap: dict[str, Any] = interval("gap", mean(scale.new - scale.old, names, **resampling))
    return Scale(
        cache=cache,
        old_right=float((scale.old < 0).mean()),
        new_right=float((scale.new > 0).mean()),
        excluded=int(scale.excluded.sum()),
        n=len(names),
        **gap,
    )


def _rows(edits: Sequence[SceneEdits], arm: str, scale: CacheScale, margins: np.ndarray) -> list[Row]:
    excluded = scale.excluded
    return [
        Row(
            family=one.family,
            split=one.split,
            instance=one.instance,
            wording=one.wording,
            arm=arm,
            clean=float(scale.new[at]),
            corrupt=float(scale.old[at]),
            patched=float(margins[at]),
            extra={"matches": one.matches, "excluded": bool(excluded[at])},
        )
        for at, one in enumerate(edits)
    ]
