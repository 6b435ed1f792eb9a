"""Directions and sparse features, fitted on residuals of other families and put into the prefill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._controls_cases import Item, Plan
from pkv_interp.engine import Engine
from pkv_interp.measure.directions import Direction, along, fit_direction, random_like, steer
from pkv_interp.measure.sparse import SparseCoder, auc_by_family, train_coder
from pkv_interp.tasks.draws import stable_seed
from pkv_interp.tasks.quads import CONCLUSIONS
from pkv_interp.tasks.sites import positions_by_label

if TYPE_CHECKING:
    from experiments.controls import ControlsSettings

Chunk = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Residuals:
    """Residual streams of all quads at the aggregators.

    Attributes:
        values: Float[quads, cells, layers, A, d], cells in the order of `CELLS`.
        layers: entries of the residual stream; entry i is the output of block i - 1.
        families, splits: of each quad.
    """

    values: np.ndarray
    layers: Sequence[int]
    families: Sequence[str]
    splits: Sequence[str]

    def prompts(self, layer: int, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Residuals [prompts, A, d] of the chosen quads after a layer, their conclusions and families."""
        values = self.values[chosen][:, :, list(self.layers).index(layer)]
        names = [f for f, on in zip(self.families, chosen, strict=True) if on]
        first = np.tile(np.array(CONCLUSIONS), len(names))
        return values.reshape(-1, *values.shape[2:]), first, [n for n in names for _ in CONCLUSIONS]

    def cell(self, at: int, layer: int, cell: int) -> np.ndarray:
        """Residuals Float[A, d] of one prompt of a quad after a layer."""
        return self.values[at, cell, list(self.layers).index(layer)]

    def discovery(self) -> np.ndarray:
        """Which quads are of discovery families."""
        return np.array([split == "discovery" for split in self.splits])

    def without(self, family: str) -> np.ndarray:
        """Which quads are of other families."""
        return np.array([name != family for name in self.families])


@dataclass(frozen=True, eq=False)
class Features:
    """A trained coder, and what discovery families say about its features.

    Attributes:
        ranked: features that are ever active, the best separator of the conclusions first.
        auc: of every feature, mean over discovery families.
        yes, no: mean activation Float[A, m] under each conclusion.
    """

    coder: SparseCoder
    ranked: list[int]
    auc: np.ndarray
    yes: np.ndarray
    no: np.ndarray


def candidates(settings: "ControlsSettings", layers: Sequence[int], n_layers: int) -> list[int]:
    """Probed layers nearest to the shares of depth at which directions are tried."""
    return sorted({min(layers, key=lambda at: abs(at - share * n_layers)) for share in settings.edit_layers})


def _places(item: Item, plan: Plan) -> tuple[int, ...]:
    return positions_by_label(item.quad.polarity.clean, plan.labels, item.quad.polarity.after_change)


def try_layers(
    engine: Engine, item: Item, plan: Plan, known: Residuals, at: int, layers: Sequence[int]
) -> Chunk:
    """On a discovery quad: its own whole clean - corrupt difference added, layer by layer.

    That is the most that any direction or feature at these places could carry; the layer where it moves the
    decision most is where directions and features have a chance.
    """
    base = engine.prefill(item.quad.polarity.corrupt.ids)
    found = []
    for layer in layers:
        clean, corrupt = known.cell(at, layer, 0), known.cell(at, layer, 1)
        delta = clean - corrupt
        found += steer(
            engine, base, _places(item, plan), layer - 1, [delta], item.quad.polarity.action_ids
        ).tolist()
    return {"layers": found}


def train_features(settings: "ControlsSettings", known: Residuals, layer: int) -> Features:
    """Train the coder on discovery families and rank its features there."""
    values, first, names = known.prompts(layer, known.discovery())
    coder = train_coder(
        values,
        features=settings.sae_features,
        k=settings.sae_active,
        steps=settings.sae_steps,
        seed=settings.seed,
    )
    codes = coder.codes(values)
    auc = auc_by_family(codes.sum(1), first, names).mean(0)
    alive = np.flatnonzero((codes > 0).any((0, 1)))
    ranked = sorted(alive.tolist(), key=lambda f: (-abs(auc[f] - 0.5), f))
    return Features(coder, ranked, auc, codes[first].mean(0), codes[~first].mean(0))


def edit(
    engine: Engine,
    item: Item,
    plan: Plan,
    known: Residuals,
    at: int,
    layer: int,
    features: Features,
    settings: "ControlsSettings",
) -> Chunk:
    """On a held-out quad: directions and features injected into corrupt, and taken out of clean.

    Args:
        at: index of the quad in ``known``.
        layer: entry of the residual stream that is edited.
    """
    rng = np.random.default_rng([settings.seed, 44, stable_seed(item.instance)])
    case = item.quad.polarity
    clean, corrupt = known.cell(at, layer, 0), known.cell(at, layer, 1)
    values, first, _ = known.prompts(layer, known.without(item.quad.family))
    fitted = fit_direction(values, first)
    into = injected(fitted, clean - corrupt, settings.edit_draws, rng)
    out = ablated(fitted, clean, settings.edit_draws, rng)
    for k in settings.sae_top:
        top, random = feature_sets(features, k, rng)
        into[f"sae_top{k}"] = features.coder.clamp(corrupt, top, features.yes)
        out[f"sae_top{k}"] = features.coder.clamp(clean, top, features.no)
        if random:  # too few other active features: no control of this size exists
            into[f"sae_random{k}"] = features.coder.clamp(corrupt, random, features.yes)
    run = {}
    for side, prompt, deltas in (("into", case.corrupt, into), ("out", case.clean, out)):
        base = engine.prefill(prompt.ids)
        moved = steer(engine, base, _places(item, plan), layer - 1, list(deltas.values()), case.action_ids)
        run[side] = dict(zip(deltas, moved.tolist(), strict=True))
    return run


def injected(
    fitted: Direction, delta: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What is added to the corrupt prompt, by arm; ``nothing`` is the control of the edit itself."""
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
    fitted: Direction, residual: np.ndarray, draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """What is added to the clean prompt so that it lies at the centre along a direction, by arm."""
    offset = fitted.centre - residual
    return {
        "ablate": along(offset, fitted.difference),
        "ablate_probe": along(offset, fitted.probe),
        **{f"ablate_random@{i}": along(offset, random_like(fitted.difference, rng)) for i in range(draws)},
    }


def feature_sets(features: Features, k: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """The k best features, and as many other active ones at random (none where there are too few)."""
    top, rest = features.ranked[:k], features.ranked[k:]
    if len(rest) < len(top):
        return top, []
    return top, [rest[int(i)] for i in rng.permutation(len(rest))[: len(top)]]
