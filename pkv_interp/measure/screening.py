"""Attribution patching beside the exact patch: how good is the cheap screen?"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun
from pkv_interp.stats import rank_correlation


@dataclass(frozen=True)
class Screen:
    """First-order effects on the corrupt margin of every site, from one backward pass.

    Attributes:
        kv: per position of the notes, summed over layers.
        heads, mlps: at the decision token.
    """

    kv: Float[np.ndarray, " notes"]
    heads: Float[np.ndarray, "L H"]
    mlps: Float[np.ndarray, " L"]


def screen(engine: Engine, pair: PairRun) -> Screen:
    """Attribution patching of KV, heads and MLPs at the decision (Nanda 2023; Syed et al. 2310.10348)."""
    found = engine.attribute(pair.corrupt, pair.clean, pair.case.action_ids)
    kv = found.kv.sum(0).double().cpu().numpy()[list(pair.notes)]
    return Screen(kv, found.heads.double().cpu().numpy(), found.mlps.double().cpu().numpy())


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
