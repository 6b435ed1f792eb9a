"""Checked input and sums by family."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Clusters:
    """The family of every instance, as codes 0..n_families-1 in sorted order of the names."""

    codes: Int[np.ndarray, "instances"]
    n_families: int

    @property
    def n_instances(self) -> int:
        """Number of instances in all families."""
        return int(self.codes.size)

    def sums(self, values: Float[np.ndarray, "instances *sites"]) -> Float[np.ndarray, "families *sites"]:
        """Sum of ``values`` over the instances of each family."""
        out = np.zeros((self.n_families, *values.shape[1:]))
        np.add.at(out, self.codes, values)
        return out


def clusters(families: Sequence[object], n_instances: int) -> Clusters:
    """Code ``families`` (one name per instance).

    Raises:
        PkvError: no instance, or a number of names other than ``n_instances``.
    """
    names = [str(family) for family in families]
    if not names or len(names) != n_instances:
        raise PkvError(
            f"{len(names)} family names were given for {n_instances} instances",
            "give one family name per instance and at least one instance",
        )
    unique, codes = np.unique(np.asarray(names, dtype=np.str_), return_inverse=True)
    return Clusters(codes=codes.astype(np.int64), n_families=int(unique.size))


def checked(values: ArrayLike, name: str, ndim: int = 1) -> Float[np.ndarray, "..."]:
    """``values`` as a float64 array of ``ndim`` axes, all of them finite.

    Args:
        values: what was given.
        name: what the error calls it.
        ndim: number of axes.

    Raises:
        PkvError: another number of axes, no instance, or a number that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim or array.shape[0] == 0:
        raise PkvError(f"{name} has shape {array.shape}", f"give {ndim} axes, instances first, none empty")
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise PkvError(
            f"{name} holds a number that is not finite at index {where}", "leave that instance out"
        )
    return array


@lru_cache(maxsize=16)
def draw_counts(n_families: int, draws: int, seed: int) -> Float[np.ndarray, "draws families"]:
    """How often each family is drawn in each of ``draws`` resamples with replacement (read-only).

    Args:
        n_families: drawn from, and drawn in each resample.
        draws: number of resamples, at least 100.
        seed: of the draws.
    """
    if draws < 100:
        raise PkvError(f"{draws} bootstrap draws were asked for", "ask for at least 100")
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_families, np.full(n_families, 1.0 / n_families), size=draws).astype(np.float64)
    counts.flags.writeable = False
    return counts
