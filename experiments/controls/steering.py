"""Directions, fitted on residuals of other families and put into the prefill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.controls.ranking import NoteRanking, aggregators
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.directions import ablated, fit_direction, injected, steer
from pkv_interp.measure.residuals import QuadResiduals
from pkv_interp.prompts.segments import Prompt
from pkv_interp.streams import stream
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import CELLS, Quad

#: Cells of the polarity pair.
CLEAN, CORRUPT = CELLS.index("vv"), CELLS.index("vo")


@dataclass(frozen=True)
class WholeDifference:
    """Margins of a corrupt prompt with its own clean - corrupt difference at the aggregators, by layer."""

    margins: Float[np.ndarray, " layers"]


@dataclass(frozen=True)
class Edits:
    """Margins of a held-out quad by arm: edits into its corrupt prompt, and out of its clean one."""

    into: dict[str, float]
    out: dict[str, float]


def candidates(settings: ControlsSettings, layers: Sequence[int], n_layers: int) -> list[int]:
    """Probed layers nearest to the shares of depth at which directions are tried."""
    return sorted({min(layers, key=lambda at: abs(at - share * n_layers)) for share in settings.edit_layers})


def try_layers(
    engine: Engine, quad: Quad, plan: NoteRanking, known: QuadResiduals, layers: Sequence[int]
) -> WholeDifference:
    """On a discovery quad: its own whole clean - corrupt difference added, layer by layer.

    That is the most that any direction or feature at these places could carry; the layer where it moves the
    decision most is where directions and features have a chance.

    Args:
        engine: of the model.
        quad: of a discovery family.
        plan: names the aggregators.
        known: residual streams, its own among them.
        layers: to try.
    """
    base = engine.prefill(quad.polarity.corrupt.ids)
    places = aggregators(quad, plan)
    found = []
    for layer in layers:
        delta = known.cell(quad, layer, CLEAN) - known.cell(quad, layer, CORRUPT)
        found.append(steer(engine, base, places, layer - 1, [delta], quad.polarity.action_ids))
    return WholeDifference(np.concatenate(found))


def edit(
    engine: Engine,
    quad: Quad,
    plan: NoteRanking,
    known: QuadResiduals,
    layer: int,
    settings: ControlsSettings,
) -> Edits:
    """On a held-out quad: directions injected into corrupt, and taken out of clean.

    Args:
        engine: of the model.
        quad: of a held-out family; the direction is fitted without that family.
        plan: names the aggregators.
        known: residual streams of all quads at the aggregators.
        layer: entry of the residual stream that is edited.
        settings: draws.
    """
    rng = stream(settings.seed, "controls", "random directions", quad.instance)
    clean, corrupt = known.cell(quad, layer, CLEAN), known.cell(quad, layer, CORRUPT)
    others = known.after(layer, known.without(quad.family))
    fitted = fit_direction(others.values, others.first)
    into = injected(fitted, clean - corrupt, settings.edit_draws, rng)
    out = ablated(fitted, clean, settings.edit_draws, rng)
    places = aggregators(quad, plan)
    case = quad.polarity
    return Edits(
        steered(engine, case, case.corrupt, places, layer, into),
        steered(engine, case, case.clean, places, layer, out),
    )


def steered(
    engine: Engine,
    case: Case,
    prompt: Prompt,
    places: Sequence[int],
    layer: int,
    deltas: Mapping[str, Float[np.ndarray, "places d"]],
) -> dict[str, float]:
    """Margin of a prompt after each edit, by arm.

    Args:
        engine: of the model.
        case: whose actions the margin is between.
        prompt: that is edited.
        places: positions of the edit.
        layer: entry of the residual stream that is edited.
        deltas: by arm, what is added at the places.
    """
    base = engine.prefill(prompt.ids)
    moved = steer(engine, base, places, layer - 1, list(deltas.values()), case.action_ids)
    return dict(zip(deltas, moved.tolist(), strict=True))
