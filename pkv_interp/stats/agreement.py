"""A cheap screen of effects beside the exact ones: how good is it?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.stats.rank import rank_correlation


@dataclass(frozen=True)
class Agreement:
    """A screen against the exact effects of the same sites.

    Attributes:
        rank_correlation: Spearman; None where one side is constant.
        relative_error: mean absolute error over the mean absolute exact effect.
        overlap: share of the exact top k that the screen's top k holds.
    """

    rank_correlation: float | None
    relative_error: float
    overlap: float


def agreement(cheap: Float[np.ndarray, "..."], exact: Float[np.ndarray, "..."], k: int = 12) -> Agreement:
    """Compare first-order effects with exact ones, both in logits."""
    cheap, exact = np.asarray(cheap, float).ravel(), np.asarray(exact, float).ravel()
    k = min(k, exact.size)
    error = float(np.abs(cheap - exact).mean() / max(np.abs(exact).mean(), 1e-12))
    shared = set(np.argsort(-cheap, kind="stable")[:k]) & set(np.argsort(-exact, kind="stable")[:k])
    return Agreement(rank_correlation(cheap, exact), error, len(shared) / k)
