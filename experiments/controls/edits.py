"""Edits of residual streams in the record: margins by arm, and directions."""

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float

from experiments.controls.measure import Measured
from experiments.controls.parts import TRIGGER_ALL, Part
from experiments.controls.settings import ControlsSettings
from experiments.controls.steering import Edits
from experiments.controls.tables import DirectionEdit, EditLayer
from pkv_interp.records.run import control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import Stage, stacked

#: Arms in the headline; the full difference is the most that any edit at these positions can do.
_HEADLINES = {
    "add": ("direction", "difference of means added at aggregators"),
    "add_random": ("direction_random", "random directions of that length"),
    "full": ("direction_full", "the prompt's own whole difference there"),
}
Side = Literal["into", "out"]


class BothWays(Protocol):
    """Margins by arm: edits into a corrupt prompt, and out of the clean one."""

    @property
    def into(self) -> dict[str, float]:
        """Of the corrupt prompt."""
        ...

    @property
    def out(self) -> dict[str, float]:
        """Of the clean prompt."""
        ...


def margins_by_arm(edits: Sequence[BothWays], side: Side) -> dict[str, Float[np.ndarray, " quads"]]:
    """Margins by arm; arms that were drawn several times are the mean over draws.

    Args:
        edits: of each quad.
        side: into the corrupt prompt, or out of the clean one.
    """
    found = [edit.into if side == "into" else edit.out for edit in edits]
    draws: dict[str, list[str]] = {}
    for name in found[0]:
        draws.setdefault(name.split("@")[0], []).append(name)
    return {
        arm: np.mean([stacked(found, lambda one, name=name: one[name]) for name in names], axis=0)
        for arm, names in draws.items()
    }


def directions(
    found: Measured, measured: Stage[Edits], edited: Scorer, scoring: Scoring[ControlsSettings]
) -> Part:
    """Recovery of what is added to the corrupt prompt, and the share of the gap that ablation takes away."""
    edits, layer = measured.of(edited.cases), found.coding.layer
    into, out = margins_by_arm(edits, "into"), margins_by_arm(edits, "out")
    headlines: list[Headline] = []
    lines: list[TableRow] = [
        EditLayer(at, at / found.probes.layers[-1], value, at == layer) for at, value in found.tested.items()
    ]
    for arm, values in into.items():
        name, what = _HEADLINES.get(arm, ("", ""))
        estimate = edited.arm(name, values) if name else edited.recovery(values)
        if name:
            headlines.append(Headline(name, estimate, what))
        lines.append(DirectionEdit.of(estimate, edit="into corrupt", arm=arm, layer=layer))
    for arm, values in out.items():
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
