"""Directions and sparse features in the record."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from experiments.controls.measure import Measured
from experiments.controls.parts import TRIGGER_ALL, Part
from experiments.controls.settings import ControlsSettings
from experiments.controls.steering import Decoding, Edits
from experiments.controls.tables import DirectionEdit, EditLayer, SparseClamp, SparseCoding, SparseFeature
from pkv_interp.records.run import control
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.run.scoring import Resampling, Scorer, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.stats import Estimate, mean

#: Arms in the headline; the full difference is the most that any edit at these positions can do.
_HEADLINES = {
    "add": ("direction", "difference of means added at aggregators"),
    "add_random": ("direction_random", "random directions of that length"),
    "full": ("direction_full", "the prompt's own whole difference there"),
}
#: Sizes of clamped sets in the headline.
_HEADLINE_CLAMPS = {1: "clamping the best feature", 30: "clamping the 30 best features"}
Side = Literal["into", "out"]


def _margins(edits: Sequence[Edits], side: Side) -> dict[str, Float[np.ndarray, " quads"]]:
    """Margins by arm; arms that were drawn several times are the mean over draws."""
    found = [edit.into if side == "into" else edit.out for edit in edits]
    draws: dict[str, list[str]] = {}
    for name in found[0]:
        draws.setdefault(name.split("@")[0], []).append(name)
    return {
        arm: np.mean([stacked(found, lambda one, name=name: one[name]) for name in names], axis=0)
        for arm, names in draws.items()
    }


def directions(found: Measured, edited: Scorer, scoring: Scoring[ControlsSettings]) -> Part:
    """Recovery of what is added to the corrupt prompt, and the share of the gap that ablation takes away."""
    edits, layer = found.edits.of(found.cases.edited), found.decoding.layer
    into, out = _margins(edits, "into"), _margins(edits, "out")
    headlines: list[Headline] = []
    lines: list[TableRow] = [
        EditLayer(at, at / found.probes.layers[-1], value, at == layer) for at, value in found.tested.items()
    ]
    for arm, values in into.items():
        if arm.startswith("sae"):
            continue
        name, what = _HEADLINES.get(arm, ("", ""))
        estimate = edited.arm(name, values) if name else edited.recovery(values)
        if name:
            headlines.append(Headline(name, estimate, what))
        lines.append(DirectionEdit.of(estimate, edit="into corrupt", arm=arm, layer=layer))
    for arm, values in out.items():
        if not arm.startswith("sae"):
            taken = edited.ratios((edited.clean - values)[:, None])[0]
            lines.append(DirectionEdit.of(taken, edit="out of clean", arm=arm, layer=layer))
    zero = control(
        "zero_edit",
        float(np.abs(into["nothing"] - edited.corrupt).max()),
        0.0,
        scoring.tolerance.logits,
        f"logits, a zero vector added to the residual stream in {len(edits)} prompts",
    )
    random = into["add_random"] - edited.corrupt
    return Part(headlines, lines, [Claim("0", "direction_random", random, edited, TRIGGER_ALL)], [zero])


def sparse(found: Measured, edited: Scorer, settings: ControlsSettings) -> Part:
    """What the best feature decodes on held-out families, beside what clamping the best k does."""
    decoding = found.decoding
    coder = SparseCoding(
        layer=decoding.layer,
        features=settings.sae_features,
        active=settings.sae_active,
        ever_active=len(decoding.ranked),
        samples=decoding.samples,
        unexplained_discovery=decoding.unexplained_discovery,
        unexplained_held_out=decoding.unexplained_held_out,
    )
    if not decoding.ranked:
        return Part([], [coder], [], [])
    best = _decoded(decoding, decoding.ranked[0], edited.resampling)
    features = []
    for rank, feature in enumerate(decoding.ranked[: max(settings.sae_top)], start=1):
        columns: dict[str, Any] = interval("auc_held_out", _decoded(decoding, feature, edited.resampling))
        features.append(SparseFeature(rank, feature, float(decoding.auc_discovery[feature]), **columns))
    headlines, clamps = _clamps(found, edited, settings)
    what = "how well one sparse feature decodes the conclusion"
    return Part(
        [Headline("sae_auc", best, what, bounds=SHARE), *headlines], [coder, *features, *clamps], [], []
    )


def _decoded(decoding: Decoding, feature: int, resampling: Resampling) -> Estimate:
    """Area under the ROC curve over held-out families, on the side that discovery families chose."""
    area = decoding.auc_held_out[:, feature]
    if decoding.auc_discovery[feature] < 0.5:
        area = 1.0 - area
    return mean(area, decoding.families, bounds=(0.0, 1.0), **resampling)


def _clamps(
    found: Measured, edited: Scorer, settings: ControlsSettings
) -> tuple[list[Headline], list[SparseClamp]]:
    edits = found.edits.of(found.cases.edited)
    into, out = _margins(edits, "into"), _margins(edits, "out")
    headlines: list[Headline] = []
    lines: list[SparseClamp] = []
    for k in settings.sae_top:
        size = min(k, len(found.decoding.ranked))
        for arm in (f"sae_top{k}", f"sae_random{k}"):
            if arm not in into:
                continue
            stated = arm.startswith("sae_top") and k in _HEADLINE_CLAMPS
            estimate = edited.arm(f"{arm}_clamp", into[arm]) if stated else edited.recovery(into[arm])
            if stated:
                headlines.append(Headline(f"{arm}_clamp", estimate, _HEADLINE_CLAMPS[k]))
            lines.append(SparseClamp.of(estimate, edit="into corrupt", arm=arm, k=k, clamped=size))
        taken = edited.ratios((edited.clean - out[f"sae_top{k}"])[:, None])[0]
        lines.append(SparseClamp.of(taken, edit="out of clean", arm=f"sae_top{k}", k=k, clamped=size))
    return headlines, lines
