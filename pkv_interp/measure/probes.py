"""Linear probes whose test groups were never trained on, and the layer at which they first read something."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

_LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Rotated:
    """Standardised features in the coordinates of the samples' own span.

    A ridge-penalised probe gives the same decisions in these coordinates as in the features, at the cost of
    as many dimensions as there are samples.

    Attributes:
        coordinates: [samples, rank].
        back: [rank, features]; weights in the coordinates times this are weights on the raw features.
    """

    coordinates: Float[np.ndarray, "samples rank"]
    back: Float[np.ndarray, "rank features"]


def rotate(features: Float[np.ndarray, "samples features"]) -> Rotated:
    """Centre and scale every feature over all samples (no label is used), then rotate to their span."""
    wide = np.asarray(features, float)
    spread = np.maximum(wide.std(0), _LEAST_SPREAD)
    scaled = (wide - wide.mean(0)) / spread / np.sqrt(wide.shape[1])
    left, sizes, right = np.linalg.svd(scaled, full_matrices=False)
    return Rotated(left * sizes, right / spread / np.sqrt(wide.shape[1]))


def fit_probe(
    coordinates: Float[np.ndarray, "samples rank"], labels: Bool[np.ndarray, " samples"]
) -> LogisticRegression:
    """A logistic probe with a ridge penalty."""
    return LogisticRegression(max_iter=2000).fit(coordinates, labels)


def held_out_right(
    coordinates: Float[np.ndarray, "samples rank"],
    labels: Bool[np.ndarray, " samples"],
    groups: Sequence[object],
    folds: int,
) -> Bool[np.ndarray, " samples"]:
    """Whether each sample is read right by a probe trained without its group (scikit-learn, GroupKFold).

    Args:
        coordinates: of every sample, as ``rotate`` gives them.
        labels: of every sample.
        groups: of every sample; a group is never in both parts.
        folds: number of parts; as many as groups where there are fewer.
    """
    right = np.zeros(len(labels), bool)
    n_splits = min(folds, len(set(groups)))
    for train, test in GroupKFold(n_splits=n_splits).split(coordinates, labels, groups):
        right[test] = fit_probe(coordinates[train], labels[train]).predict(coordinates[test]) == labels[test]
    return right


def shuffle_within(
    labels: Bool[np.ndarray, " samples"], blocks: Sequence[object], rng: np.random.Generator
) -> Bool[np.ndarray, " samples"]:
    """Labels in random order inside each block, so that every block keeps its balance.

    Args:
        labels: of every sample.
        blocks: of every sample.
        rng: draws the orders.
    """
    names = np.asarray([str(block) for block in blocks])
    out = labels.copy()
    for name in dict.fromkeys(names.tolist()):
        at = np.flatnonzero(names == name)
        out[at] = labels[at][rng.permutation(at.size)]
    return out


def commit_index(margins: Float[np.ndarray, "prompts layers"]) -> np.ndarray:
    """Per prompt, the first layer from which the margin keeps the sign that it ends with."""
    signs = np.asarray(margins) > 0
    differs = signs != signs[:, -1:]
    last = signs.shape[1] - 1 - np.argmax(differs[:, ::-1], axis=1)
    return np.where(differs.any(1), last + 1, 0)
