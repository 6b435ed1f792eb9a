"""Directions and sparse features, fitted on residuals of other families and put into the prefill."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.controls.ranking import NoteRanking, aggregators
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.directions import ablated, fit_direction, injected, steer
from pkv_interp.measure.residuals import QuadResiduals
from pkv_interp.measure.sparse import RankedFeatures, auc_by_family, rank_features, train_coder
from pkv_interp.streams import stream
from pkv_interp.tasks.quads import CELLS, Quad

_CLEAN, _CORRUPT = CELLS.index("vv"), CELLS.index("vo")


@dataclass(frozen=True)
class WholeDifference:
    """Margins of a corrupt prompt with its own clean - corrupt difference at the aggregators, by layer."""

    margins: Float[np.ndarray, " layers"]


@dataclass(frozen=True)
class EditSources:
    """What edits of residual streams are made from.

    Attributes:
        known: residual streams of all quads.
        layer: entry of the residual stream that is edited.
        features: of that layer, trained on discovery families.
    """

    known: QuadResiduals
    layer: int
    features: RankedFeatures


@dataclass(frozen=True)
class Edits:
    """Margins of a held-out quad by arm: edits into its corrupt prompt, and out of its clean one."""

    into: dict[str, float]
    out: dict[str, float]


@dataclass(frozen=True)
class Decoding:
    """How well sparse features tell the conclusions apart, and how much they leave unexplained.

    Attributes:
        layer: entry of the residual stream.
        samples: residual vectors that the coder was trained on.
        ranked: features that are ever active, best first on discovery families.
        auc_discovery: of every feature, mean over discovery families.
        auc_held_out: of every feature in each held-out family.
        families: held-out ones, in that order.
        unexplained_discovery, unexplained_held_out: shares of variance.
    """

    layer: int
    samples: int
    ranked: list[int]
    auc_discovery: Float[np.ndarray, " features"]
    auc_held_out: Float[np.ndarray, "families features"]
    families: list[str]
    unexplained_discovery: float
    unexplained_held_out: float


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
        delta = known.cell(quad, layer, _CLEAN) - known.cell(quad, layer, _CORRUPT)
        found.append(steer(engine, base, places, layer - 1, [delta], quad.polarity.action_ids))
    return WholeDifference(np.concatenate(found))


def train_features(settings: ControlsSettings, known: QuadResiduals, layer: int) -> RankedFeatures:
    """Train the coder on discovery families and rank its features there."""
    seen = known.after(layer, known.of_split("discovery"))
    coder = train_coder(
        seen.values,
        features=settings.sae_features,
        k=settings.sae_active,
        steps=settings.sae_steps,
        seed=settings.seed,
    )
    return rank_features(coder, seen.values, seen.first, seen.families)


def decode(sources: EditSources) -> Decoding:
    """What the features say about families that they were not trained on."""
    known, features = sources.known, sources.features
    seen = known.after(sources.layer, known.of_split("discovery"))
    held = known.after(sources.layer, known.of_split("held_out"))
    return Decoding(
        layer=sources.layer,
        samples=int(seen.values.shape[0] * seen.values.shape[1]),
        ranked=features.ranked,
        auc_discovery=features.auc,
        auc_held_out=auc_by_family(features.coder.codes(held.values).sum(1), held.first, held.families),
        families=list(dict.fromkeys(held.families)),
        unexplained_discovery=features.coder.unexplained(seen.values),
        unexplained_held_out=features.coder.unexplained(held.values),
    )


def edit(
    engine: Engine, quad: Quad, plan: NoteRanking, sources: EditSources, settings: ControlsSettings
) -> Edits:
    """On a held-out quad: directions and features injected into corrupt, and taken out of clean.

    Args:
        engine: of the model.
        quad: of a held-out family; the direction is fitted without that family.
        plan: names the aggregators.
        sources: what edits are made from.
        settings: draws and sizes.
    """
    rng = stream(settings.seed, "controls", "random directions", quad.instance)
    known, layer, features = sources.known, sources.layer, sources.features
    clean, corrupt = known.cell(quad, layer, _CLEAN), known.cell(quad, layer, _CORRUPT)
    others = known.after(layer, known.without(quad.family))
    fitted = fit_direction(others.values, others.first)
    into = injected(fitted, clean - corrupt, settings.edit_draws, rng)
    out = ablated(fitted, clean, settings.edit_draws, rng)
    for k in settings.sae_top:
        top, random = features.best(k), features.random_others(k, rng)
        into[f"sae_top{k}"] = features.coder.clamp(corrupt, top, features.yes)
        out[f"sae_top{k}"] = features.coder.clamp(clean, top, features.no)
        if random:  # too few other active features: no control of this size exists
            into[f"sae_random{k}"] = features.coder.clamp(corrupt, random, features.yes)
    case, places = quad.polarity, aggregators(quad, plan)

    def steered(
        ids: tuple[int, ...], deltas: dict[str, Float[np.ndarray, "aggregators d"]]
    ) -> dict[str, float]:
        base = engine.prefill(ids)
        moved = steer(engine, base, places, layer - 1, list(deltas.values()), case.action_ids)
        return dict(zip(deltas, moved.tolist(), strict=True))

    return Edits(steered(case.corrupt.ids, into), steered(case.clean.ids, out))
