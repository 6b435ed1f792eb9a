"""Linear probes of the residual stream at the aggregators, layer by layer."""

from dataclasses import dataclass

import numpy as np
from einops import rearrange, reduce
from jaxtyping import Bool, Float

from experiments.controls.ranking import NoteRanking, aggregators, best_positions
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.probes import held_out_right, rotate, shuffle_within
from pkv_interp.measure.residuals import QuadResiduals, residuals_at
from pkv_interp.tasks.quads import CONCLUSIONS, Quad


@dataclass(frozen=True)
class CellResiduals:
    """Residual streams of a quad's four prompts at `residual_places`, in the order of `CELLS`."""

    residuals: Float[np.ndarray, "cells layers places d"]


@dataclass(frozen=True)
class Probes:
    """Share of a quad's prompts that probes read right.

    Attributes:
        layers: entries of the residual stream.
        conclusion: in families that the probe never saw.
        shuffled: the same with shuffled labels, mean over shuffles.
        field: inside a family, in instances that the probe never saw: field values mean nothing across
            families.
        conclusion_inside: the conclusion, read in that way.
    """

    layers: list[int]
    conclusion: Float[np.ndarray, "layers quads"]
    shuffled: Float[np.ndarray, "layers quads"]
    field: Float[np.ndarray, "layers quads"]
    conclusion_inside: Float[np.ndarray, "layers quads"]


def probed_layers(settings: ControlsSettings, n_layers: int) -> list[int]:
    """Entries of the residual stream that are probed: block outputs, the last one always among them."""
    step = max(1, n_layers // settings.probe_layers)
    return sorted({*range(step, n_layers + 1, step), n_layers})


def residual_places(quad: Quad, plan: NoteRanking) -> tuple[int, ...]:
    """The strongest position after the trigger, then the aggregators, of which it may be one."""
    return (*best_positions(quad.polarity, plan, 1), *aggregators(quad, plan))


def collect(engine: Engine, quad: Quad, plan: NoteRanking, settings: ControlsSettings) -> CellResiduals:
    """Residual streams of a quad's four prompts at `residual_places`."""
    found = [engine.prefill(prompt.ids, {"prefill"}) for prompt in quad.prompts]
    layers = probed_layers(settings, engine.spec.n_layers)
    return CellResiduals(residuals_at(found, residual_places(quad, plan), layers))


def probe(known: QuadResiduals, settings: ControlsSettings, rng: np.random.Generator) -> Probes:
    """Read conclusion and field off all aggregators of a prompt together.

    Args:
        known: of all quads.
        settings: folds and shuffles.
        rng: of shuffled labels.
    """
    n = len(known.quads)
    labels = np.tile(np.array(CONCLUSIONS), n)
    field = np.array([holds for quad in known.quads for holds in quad.fields])
    family = np.repeat([quad.family for quad in known.quads], len(CONCLUSIONS))
    quad_of = np.repeat(np.arange(n), len(CONCLUSIONS))
    shuffles = [shuffle_within(labels, quad_of.tolist(), rng) for _ in range(settings.probe_shuffles)]

    def read(values: Float[np.ndarray, "quads cells A d"]) -> dict[str, Float[np.ndarray, " quads"]]:
        x = rotate(rearrange(values, "quads cells a d -> (quads cells) (a d)")).coordinates

        def across(wanted: Bool[np.ndarray, " prompts"]) -> Bool[np.ndarray, " prompts"]:
            return held_out_right(x, wanted, family.tolist(), settings.probe_folds)

        def inside(wanted: Bool[np.ndarray, " prompts"]) -> Bool[np.ndarray, " prompts"]:
            right = np.zeros(len(wanted), bool)
            for name in dict.fromkeys(family.tolist()):
                on = family == name
                right[on] = held_out_right(x[on], wanted[on], quad_of[on].tolist(), settings.instances)
            return right

        found = {
            "conclusion": across(labels),
            "shuffled": np.mean([across(shuffled) for shuffled in shuffles], axis=0),
            "field": inside(field),
            "conclusion_inside": inside(labels),
        }
        return {
            name: reduce(right.astype(float), "(quads cells) -> quads", "mean", quads=n)
            for name, right in found.items()
        }

    by_layer = [read(known.values[:, :, at]) for at in range(len(known.layers))]
    curves = {name: np.stack([found[name] for found in by_layer]) for name in by_layer[0]}
    return Probes(list(known.layers), **curves)
