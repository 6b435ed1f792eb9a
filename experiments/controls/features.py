"""Sparse features of the residual stream: trained, ranked on discovery families, and read."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.controls.settings import ControlsSettings
from pkv_interp.measure.residuals import QuadResiduals
from pkv_interp.measure.sparse import RankedFeatures, SparseCoder, rank_features, train_coder

#: Where features are read and clamped: at the strongest position after the trigger, or at all aggregators.
Where = Literal["strongest", "all"]
PLACES: dict[Where, slice] = {"strongest": slice(0, 1), "all": slice(1, None)}


@dataclass(frozen=True, eq=False)
class Features:
    """A trained coder, and what discovery families say about its features.

    Attributes:
        layer: entry of the residual stream.
        coder: the autoencoder.
        ranked: its features, by where they are read.
        replayed: samples of replay text among those that it was trained on.
        samples: all of these.
        unexplained_replay: share of the variance of held-out replay text that it misses.
    """

    layer: int
    coder: SparseCoder
    ranked: dict[str, RankedFeatures]
    replayed: int
    samples: int
    unexplained_replay: float


@dataclass(frozen=True)
class Decoding:
    """How well features tell the conclusions apart at some places, and how much they leave unexplained.

    Attributes:
        ranked: features that are ever active there, best first on discovery families.
        auc_discovery: of every feature, mean over discovery families.
        held_out: activations of the best ones in the prompts of held-out quads, four of each, summed over the
            places.
        unexplained_discovery, unexplained_held_out: shares of variance.
    """

    ranked: list[int]
    auc_discovery: Float[np.ndarray, " features"]
    held_out: Float[np.ndarray, "prompts best"]
    unexplained_discovery: float
    unexplained_held_out: float


@dataclass(frozen=True)
class Coding:
    """What a summary reads of the coder; its samples and weights are left out.

    Attributes:
        layer, replayed, samples, unexplained_replay: as `Features`.
        decoding: by where features are read.
    """

    layer: int
    replayed: int
    samples: int
    unexplained_replay: float
    decoding: dict[str, Decoding]


def train_features(
    settings: ControlsSettings,
    streams: QuadResiduals,
    layer: int,
    replay: Float[np.ndarray, "tokens d"],
    held_out: Float[np.ndarray, "tokens d"],
) -> Features:
    """Train the coder on replay text and discovery families, and rank its features on the latter.

    Args:
        settings: sizes.
        streams: residual streams of all quads at `residual_places`.
        layer: entry of the residual stream.
        replay: residuals of replay text after that layer.
        held_out: of other such text, on which the coder is judged.
    """
    seen = streams.after(layer, streams.of_split("discovery"))
    # Of replay text as many as were asked for; one chat may bring some more.
    replay = replay[: settings.sae_samples]
    samples = np.concatenate([replay, seen.values.reshape(-1, replay.shape[1])])
    coder = train_coder(
        samples,
        features=settings.sae_features,
        k=settings.sae_active,
        steps=settings.sae_steps,
        seed=settings.seed,
    )
    return Features(
        layer,
        coder,
        ranked={
            where: rank_features(coder, seen.values[:, at], seen.first, seen.families)
            for where, at in PLACES.items()
        },
        replayed=len(replay),
        samples=len(samples),
        unexplained_replay=coder.unexplained(held_out[:, None]),
    )


def read_features(settings: ControlsSettings, features: Features, streams: QuadResiduals) -> Coding:
    """What the features say about families that they were not trained on.

    Args:
        settings: how many of the best are read.
        features: the coder and its ranks.
        streams: residual streams of all quads at `residual_places`.
    """
    seen = streams.after(features.layer, streams.of_split("discovery"))
    held = streams.after(features.layer, streams.of_split("held_out"))
    coder = features.coder

    def at(where: Where) -> Decoding:
        places, ranked = PLACES[where], features.ranked[where]
        best = ranked.best(max(settings.sae_top))
        return Decoding(
            ranked=ranked.ranked,
            auc_discovery=ranked.auc,
            held_out=coder.codes(held.values[:, places]).sum(1)[:, best],
            unexplained_discovery=coder.unexplained(seen.values[:, places]),
            unexplained_held_out=coder.unexplained(held.values[:, places]),
        )

    decoding: dict[str, Decoding] = {where: at(where) for where in PLACES}
    return Coding(features.layer, features.replayed, features.samples, features.unexplained_replay, decoding)
