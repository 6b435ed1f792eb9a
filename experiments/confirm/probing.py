"""Probes of the conclusion, trained on discovery families and tested on the scored ones."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Float

from experiments.confirm.quads import Residuals
from pkv_interp.measure.probes import fit_probe, shuffle_within
from pkv_interp.tasks.quads import CONCLUSIONS

#: Features that vary less over the prompts that train are left out: scaled, they would drown the others.
_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Probes:
    """Share of a scored quad's prompts that probes read right, by layer.

    Attributes:
        layers: entries of the residual stream.
        conclusion: by probes of the conclusion.
        shuffled: by probes of shuffled labels, mean over shuffles.
    """

    layers: list[int]
    conclusion: Float[np.ndarray, "quads layers"]
    shuffled: Float[np.ndarray, "quads layers"]


def probe(
    known: Sequence[Residuals],
    scored: Sequence[Residuals],
    layers: Sequence[int],
    shuffles: int,
    rng: np.random.Generator,
) -> Probes:
    """Train at each layer on all labels of a prompt together, and test.

    The experiment on controls trains on scored families as well, each without its own fold. Here nothing is
    trained on them, and features are centred and scaled by the prompts that train.

    Args:
        known: of discovery quads.
        scored: of scored ones.
        layers: that they have.
        shuffles: number of shuffled labellings.
        rng: shuffles labels within each quad.
    """
    wanted = np.tile(np.array(CONCLUSIONS), len(known))
    told = np.tile(np.array(CONCLUSIONS), len(scored))
    mixed = [
        (shuffle_within(wanted, _quads(len(known)), rng), shuffle_within(told, _quads(len(scored)), rng))
        for _ in range(shuffles)
    ]
    conclusion, shuffled = [], []
    for at in range(len(layers)):
        train, test = _scaled(_flat(known, at), _flat(scored, at))
        conclusion.append(_right(train, wanted, test, told))
        shuffled.append(np.mean([_right(train, one, test, other) for one, other in mixed], axis=0))
    return Probes(list(layers), np.stack(conclusion, axis=1), np.stack(shuffled, axis=1))


def _quads(number: int) -> list[int]:
    return np.repeat(np.arange(number), len(CONCLUSIONS)).tolist()


def _flat(found: Sequence[Residuals], at: int) -> Float[np.ndarray, "prompts features"]:
    values = np.stack([one.values[:, at] for one in found]).astype(float)
    return rearrange(values, "quads cells labels d -> (quads cells) (labels d)")


def _scaled(
    train: Float[np.ndarray, "known features"], test: Float[np.ndarray, "scored features"]
) -> tuple[Float[np.ndarray, "known kept"], Float[np.ndarray, "scored kept"]]:
    middle, spread = train.mean(0), train.std(0)
    kept = spread > _LEAST_SPREAD
    size = np.sqrt(max(int(kept.sum()), 1))
    first, second = ((one - middle)[:, kept] / spread[kept] / size for one in (train, test))
    return first, second


def _right(
    train: Float[np.ndarray, "known kept"],
    wanted: Bool[np.ndarray, " known"],
    test: Float[np.ndarray, "scored kept"],
    told: Bool[np.ndarray, " scored"],
) -> Float[np.ndarray, " quads"]:
    """Share right by scored quad."""
    right = np.asarray(fit_probe(train, wanted).predict(test) == told)
    return right.reshape(-1, len(CONCLUSIONS)).mean(1)
