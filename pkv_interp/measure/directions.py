"""Directions of the conclusion in the residual stream at aggregators, and edits along them in the prefill.

A direction has one vector per aggregator: positions differ in what else they hold. Shapes: A aggregators,
d = d_model (arXiv 2606.17107, conclusion direction).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float

from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import ResidualEdit, Row
from pkv_interp.measure.pairs import margins
from pkv_interp.measure.probes import fit_probe, rotate


@dataclass(frozen=True)
class Direction:
    """What was fitted on training prompts.

    Attributes:
        difference: mean residual of the first conclusion minus that of the second.
        centre: mean of the two means.
        probe: the probe's direction, as long over all aggregators as ``difference``.
    """

    difference: Float[np.ndarray, "A d"]
    centre: Float[np.ndarray, "A d"]
    probe: Float[np.ndarray, "A d"]


def fit_direction(
    residuals: Float[np.ndarray, "prompts A d"], first: Bool[np.ndarray, " prompts"]
) -> Direction:
    """Difference of means and logistic probe of ``first`` against the rest."""
    wide = np.asarray(residuals, float)
    yes, no = wide[first].mean(0), wide[~first].mean(0)
    rotated = rotate(rearrange(wide, "prompt a d -> prompt (a d)"))
    weights = fit_probe(rotated.coordinates, first).coef_[0] @ rotated.back
    scale = np.linalg.norm(yes - no) / max(float(np.linalg.norm(weights)), 1e-12)
    return Direction(yes - no, (yes + no) / 2, rearrange(weights * scale, "(a d) -> a d", a=len(yes)))


def random_like(direction: Float[np.ndarray, "A d"], rng: np.random.Generator) -> Float[np.ndarray, "A d"]:
    """Random directions, each as long as the given one at its aggregator."""
    drawn = rng.normal(size=direction.shape)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    return drawn / np.linalg.norm(drawn, axis=-1, keepdims=True) * length


def along(vectors: Float[np.ndarray, "A d"], direction: Float[np.ndarray, "A d"]) -> Float[np.ndarray, "A d"]:
    """The part of each vector that lies along the direction of its aggregator."""
    square = np.maximum((direction**2).sum(-1, keepdims=True), 1e-24)
    return (vectors * direction).sum(-1, keepdims=True) / square * direction


def injected(
    fitted: Direction, delta: Float[np.ndarray, "A d"], draws: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "A d"]]:
    """What to add to a prompt of the second conclusion, by arm.

    ``nothing`` is the control of the edit itself, ``full`` the prompt's own whole difference, ``along`` and
    ``across`` its parts; ``add`` is the fitted direction and ``add_random@i`` random ones of its length.

    Args:
        fitted: without the prompt's family.
        delta: residual of the prompt with the first conclusion minus that of this one.
        draws: random directions.
        rng: of them.
    """
    part = along(delta, fitted.difference)
    return {
        "nothing": np.zeros_like(delta),
        "full": delta,
        "along": part,
        "across": delta - part,
        "along_probe": along(delta, fitted.probe),
        "add": fitted.difference,
        "add_probe": fitted.probe,
        **{f"add_random@{i}": random_like(fitted.difference, rng) for i in range(draws)},
    }


def ablated(
    fitted: Direction, residual: Float[np.ndarray, "A d"], draws: int, rng: np.random.Generator
) -> dict[str, Float[np.ndarray, "A d"]]:
    """What to add to a prompt so that it lies at the centre along a direction, by arm.

    Args:
        fitted: without the prompt's family.
        residual: of the prompt.
        draws: random directions.
        rng: of them.
    """
    offset = fitted.centre - residual
    return {
        "ablate": along(offset, fitted.difference),
        "ablate_probe": along(offset, fitted.probe),
        **{f"ablate_random@{i}": along(offset, random_like(fitted.difference, rng)) for i in range(draws)},
    }


def steer(
    engine: Engine,
    base: Prefill,
    positions: Sequence[int],
    layer: int,
    deltas: Sequence[Float[np.ndarray, "A d"]],
    action_ids: tuple[int, int],
) -> Float[np.ndarray, " deltas"]:
    """Margin after each delta is added to a block's output at the positions and the rest is run again.

    Args:
        engine: of the model.
        base: the prompt that is edited.
        positions: of the aggregators.
        layer: index of the block.
        deltas: one vector per position each.
        action_ids: the first action's token and the second's.
    """
    rows: list[Row] = [
        tuple(
            ResidualEdit(layer, p, torch.from_numpy(np.ascontiguousarray(vector, np.float32)))
            for p, vector in zip(positions, delta, strict=True)
        )
        for delta in deltas
    ]
    return margins(engine.rerun(base, rows, (), action_ids))
