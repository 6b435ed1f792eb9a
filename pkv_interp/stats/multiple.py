"""Many tests at once: Holm, and max-T with signs flipped by family."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from statsmodels.stats.multitest import multipletests

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked, clusters


def holm(p_values: ArrayLike) -> Float[np.ndarray, "tests"]:
    """Holm's step-down adjusted p values (statsmodels), in the order given."""
    array = checked(p_values, "p_values")
    if ((array < 0.0) | (array > 1.0)).any():
        raise PkvError("a p value lies outside 0 and 1", "check the test that it comes from")
    return np.asarray(multipletests(array, method="holm")[1])


@dataclass(frozen=True)
class MaxT:
    """Outcome of ``max_t``.

    Attributes:
        statistic: [sites], mean over its standard error by family.
        p_values: [sites], adjusted for all sites together, two-sided.
        draws: number of sign patterns, the observed one included; 1 / draws bounds the p values from below.
        exact: all 2 ** n_families patterns were taken.
    """

    statistic: Float[np.ndarray, "sites"]
    p_values: Float[np.ndarray, "sites"]
    draws: int
    exact: bool


def _studentise(
    sums: Float[np.ndarray, "families sites"],
    sizes: Float[np.ndarray, "families"],
    signs: Float[np.ndarray, "draws families"],
) -> Float[np.ndarray, "draws sites"]:
    n = sizes.size
    centre = (signs @ sums) / sizes.sum()
    spread = (
        np.square(sums).sum(0)
        - 2.0 * centre * ((signs * sizes) @ sums)
        + np.square(centre) * np.square(sizes).sum()
    )
    error = np.sqrt(n / (n - 1) * np.maximum(spread, 0.0)) / sizes.sum()
    # A site that is the same in every family has no error; the floor keeps its statistic large but finite.
    least = 1e-8 * np.sqrt(np.square(sums).sum(0)) / sizes.sum()
    error = np.maximum(error, least)
    return np.divide(centre, error, out=np.zeros_like(centre), where=error > 0.0)


def max_t(effects: ArrayLike, families: Sequence[object], *, draws: int = 10_000, seed: int = 0) -> MaxT:
    """Step-down max-T (Westfall and Young 1993, algorithm 4.1) over sites, signs flipped by whole families.

    Args:
        effects: [instances, sites]; under the null hypothesis symmetric about zero, family by family.
        families: one name per instance; their signs are flipped together.
        draws: sign patterns; all of them are enumerated where there are no more than that.
        seed: of the patterns, where they are drawn.

    Raises:
        PkvError: fewer than two families.
    """
    array = checked(effects, "effects", ndim=2)
    groups = clusters(families, array.shape[0])
    if groups.n_families < 2:
        raise PkvError("max-T was asked of a single family", "measure at least two families")
    sums, sizes = groups.sums(array), groups.sums(np.ones(array.shape[0]))
    exact = 2**groups.n_families <= draws
    if exact:
        signs = np.asarray(list(product((1.0, -1.0), repeat=groups.n_families)))
    else:
        rng = np.random.default_rng(seed)
        drawn = rng.choice(np.array([1.0, -1.0]), size=(draws - 1, groups.n_families))
        signs = np.vstack([np.ones(groups.n_families), drawn])
    drawn_t = np.abs(_studentise(sums, sizes, signs))
    statistic = _studentise(sums, sizes, np.ones((1, groups.n_families)))[0]
    order = np.argsort(-np.abs(statistic), kind="stable")
    # From the weakest site upwards: each is compared with the largest of the sites not yet rejected.
    successive = np.maximum.accumulate(drawn_t[:, order[::-1]], axis=1)[:, ::-1]
    reached = successive >= np.abs(statistic[order]) * (1.0 - 1e-9)
    ordered = np.maximum.accumulate(reached.mean(0))
    p_values = np.empty_like(ordered)
    p_values[order] = ordered
    return MaxT(statistic=statistic, p_values=p_values, draws=signs.shape[0], exact=exact)
