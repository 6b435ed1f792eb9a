"""Recovery: how much of the way from corrupt to clean a patch goes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError
from pkv_interp.stats import Estimate, ratios_of_means
from pkv_interp.stats.clusters import checked
from pkv_interp.stats.resampling import ResamplingOptions


@dataclass(frozen=True)
class Recovery:
    """Recovery of one arm.

    Attributes:
        estimate: ratio of means over the kept instances, interval by family.
        per_instance: [instances], NaN where the instance was left out. For plots and tables, never averaged.
        kept: [instances], |clean - corrupt| above the noise floor.
        n_excluded: how many were not.
    """

    estimate: Estimate
    per_instance: Float[np.ndarray, "instances"]
    kept: Bool[np.ndarray, "instances"]
    n_excluded: int


def _gap(
    clean: ArrayLike, corrupt: ArrayLike, n_instances: int, noise_floor: float
) -> tuple[Float[np.ndarray, "instances"], Float[np.ndarray, "instances"], Bool[np.ndarray, "instances"]]:
    top, base = checked(clean, "clean"), checked(corrupt, "corrupt")
    if not top.size == base.size == n_instances:
        raise PkvError(
            f"{n_instances} patched, {top.size} clean and {base.size} corrupt margins were given",
            "give one of each per instance",
        )
    if not 0.0 <= noise_floor < float("inf"):
        raise PkvError(f"the noise floor is {noise_floor}", "give a finite number that is not negative")
    gap = top - base
    kept = np.abs(gap) > noise_floor
    if not kept.any():
        raise PkvError(
            f"no instance has clean and corrupt margins more than {noise_floor} apart",
            "check that the model is competent at this task before measuring recovery",
        )
    return gap, base, kept


def recovery_by_site(
    patched: ArrayLike,
    clean: ArrayLike,
    corrupt: ArrayLike,
    families: Sequence[object],
    *,
    noise_floor: float,
    **resampling: Unpack[ResamplingOptions],
) -> list[Recovery]:
    """``recovery`` for many arms at once: ``patched`` is [instances, arms], the other margins are shared.

    Args:
        patched: [instances, arms], margins in logits.
        clean: [instances].
        corrupt: [instances].
        families: one name per instance; the unit that is resampled.
        noise_floor: least gap of clean and corrupt that counts, in logits.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.
    """
    values = checked(patched, "patched", ndim=2)
    gap, base, kept = _gap(clean, corrupt, values.shape[0], noise_floor)
    moved = values - base[:, None]
    if len(families) != values.shape[0]:
        raise PkvError(
            f"{len(families)} family names were given for {values.shape[0]} instances",
            "give one family name per instance",
        )
    names = [family for family, keep in zip(families, kept, strict=True) if keep]
    estimates = ratios_of_means(moved[kept], gap[kept], names, **resampling)
    shares = np.full(values.shape, np.nan)
    shares[kept] = moved[kept] / gap[kept, None]
    return [
        Recovery(estimate=estimate, per_instance=shares[:, arm], kept=kept, n_excluded=int((~kept).sum()))
        for arm, estimate in enumerate(estimates)
    ]


def recovery(
    patched: ArrayLike,
    clean: ArrayLike,
    corrupt: ArrayLike,
    families: Sequence[object],
    *,
    noise_floor: float,
    **resampling: Unpack[ResamplingOptions],
) -> Recovery:
    """mean(patched - corrupt) / mean(clean - corrupt), margins [instances] in logits.

    Instances whose clean and corrupt margins lie within ``noise_floor`` of one another carry no signal; they
    are left out and counted. Not clipped: below 0 and above 1 are findings.

    Args:
        patched: [instances].
        clean: [instances].
        corrupt: [instances].
        families: one name per instance; the unit that is resampled.
        noise_floor: least gap of clean and corrupt that counts, in logits.
        **resampling: ``seed``, ``level`` and ``draws`` of the interval, see ``Resampling``.

    Raises:
        PkvError: lengths differ, a margin is not finite, or every instance was left out.
    """
    values = checked(patched, "patched")[:, None]
    return recovery_by_site(values, clean, corrupt, families, noise_floor=noise_floor, **resampling)[0]
