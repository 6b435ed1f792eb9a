"""Sparse features in the record: what they decode, and what clamping them moves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.controls.clamping import ClampedQuad, Clamps
from experiments.controls.edits import margins_by_arm
from experiments.controls.features import PLACES, Decoding, Where
from experiments.controls.measure import Measured
from experiments.controls.parts import Part
from experiments.controls.settings import ControlsSettings
from experiments.controls.tables import SparseClamp, SparseCoding, SparseFeature
from pkv_interp.measure.sparse import auc_by_family
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import Stage
from pkv_interp.stats import Estimate, mean
from pkv_interp.tasks.quads import CONCLUSIONS

_AUC = "how well one sparse feature decodes the conclusion"
#: Arms at the strongest position that are headlines, and what each is.
_HEADLINES = {
    "full": ("sae_full", "the whole difference at the strongest label alone"),
    "top1": ("sae_top1_clamp", "clamping the best feature"),
    "top30": ("sae_top30_clamp", "clamping the 30 best features"),
}


def decoding(found: Measured, held: Scorer, settings: ControlsSettings) -> Part:
    """What the best features decode in held-out quads, at the strongest position and at all aggregators."""
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for where in PLACES:
        lines.append(_coding(found, where, settings))
        known = found.coding.decoding[where]
        areas = _areas(found, held, known)
        for rank, (feature, area) in enumerate(zip(known.ranked, areas, strict=False), start=1):
            if where == "strongest" and rank == 1:
                headlines.append(Headline("sae_auc", area, _AUC, bounds=SHARE))
            columns: dict[str, Any] = interval("auc_held_out", area)
            at_discovery = float(known.auc_discovery[feature])
            lines.append(SparseFeature(where, rank, feature, at_discovery, **columns))
    return Part(headlines, lines, [], [])


def _areas(found: Measured, held: Scorer, known: Decoding) -> list[Estimate]:
    """Areas under the ROC curve of the best features by family, on the side that discovery families chose."""
    names = [quad.instance for quad in found.cases.held_out]
    n = len(CONCLUSIONS)
    at = [n * names.index(case.instance) + cell for case in held.cases for cell in range(n)]
    families = [family for family in held.families for _ in CONCLUSIONS]
    first = np.tile(np.array(CONCLUSIONS), len(held.cases))
    areas = auc_by_family(known.held_out[at], first, families)
    best = known.ranked[: areas.shape[1]]
    turned = np.where(known.auc_discovery[best] < 0.5, 1.0 - areas, areas)
    by_family = list(dict.fromkeys(families))
    return [mean(area, by_family, bounds=(0.0, 1.0), **held.resampling) for area in turned.T]


def _coding(found: Measured, where: Where, settings: ControlsSettings) -> SparseCoding:
    coding, decoding = found.coding, found.coding.decoding[where]
    return SparseCoding(
        where=where,
        layer=coding.layer,
        features=settings.sae_features,
        active=settings.sae_active,
        ever_active=len(decoding.ranked),
        samples=coding.samples,
        replayed=coding.replayed,
        unexplained_replay=coding.unexplained_replay,
        unexplained_discovery=decoding.unexplained_discovery,
        unexplained_held_out=decoding.unexplained_held_out,
    )


def clamps(found: Measured, measured: Stage[ClampedQuad], edited: Scorer, settings: ControlsSettings) -> Part:
    """What clamping the best k features moves, at the strongest position and at all aggregators."""
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for where in PLACES:
        active = len(found.coding.decoding[where].ranked)
        quads = measured.of(edited.cases)
        stated, rows = _clamped(quads, edited, where, active, settings)
        headlines += stated
        lines += rows
    return Part(headlines, lines, [], [])


def _clamped(
    quads: Sequence[ClampedQuad], edited: Scorer, where: Where, active: int, settings: ControlsSettings
) -> tuple[list[Headline], list[TableRow]]:
    found: list[Clamps] = [quad.strongest if where == "strongest" else quad.all for quad in quads]
    into, out = margins_by_arm(found, "into"), margins_by_arm(found, "out")
    sizes: dict[str, int | None] = {"full": None}
    sizes |= {f"{arm}{k}": min(k, active) for k in settings.sae_top for arm in ("top", "random")}
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for arm, size in sizes.items():
        if arm in into:  # a random set may have too few other features to be drawn from
            stated = where == "strongest" and arm in _HEADLINES
            name, what = _HEADLINES[arm] if stated else ("", "")
            estimate = edited.arm(name, into[arm]) if stated else edited.recovery(into[arm])
            if stated:
                headlines.append(Headline(name, estimate, what))
            lines.append(SparseClamp.of(estimate, edit="into corrupt", where=where, arm=arm, clamped=size))
        if arm in out:
            taken = edited.ratios((edited.clean - out[arm])[:, None])[0]
            lines.append(SparseClamp.of(taken, edit="out of clean", where=where, arm=arm, clamped=size))
    return headlines, lines
