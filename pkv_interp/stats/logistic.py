"""Right or wrong by several conditions at once, where instances come in clusters."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.genmod.cov_struct import Exchangeable
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_estimating_equations import GEE

from pkv_interp.errors import PkvError
from pkv_interp.stats.clusters import checked, clusters

#: A coefficient beyond this is a probability of 0 or 1 to within rounding, and no estimate of one.
_DIVERGED = 15.0


@dataclass(frozen=True)
class Term:
    """One coefficient, on the scale of log odds."""

    name: str
    coefficient: float
    ci_low: float
    ci_high: float
    p_value: float


@dataclass(frozen=True)
class Logistic:
    """A fit, or why there is none.

    Attributes:
        terms: of the intercept and of each condition; empty where there is no fit.
        undefined: why there is none; "" where there is one.
    """

    terms: tuple[Term, ...]
    undefined: str = ""


def gee_logistic(
    right: ArrayLike, conditions: Mapping[str, ArrayLike], families: Sequence[object]
) -> Logistic:
    """A logistic model by generalised estimating equations, exchangeable within clusters (statsmodels).

    Errors are robust to what the correlation within a cluster really is. Where everything is right, or
    everything is wrong, at some level of a condition that has two, odds do not exist, and nothing is fitted.

    Args:
        right: [instances], 0 or 1.
        conditions: by name, [instances].
        families: the cluster of each instance.

    Raises:
        PkvError: lengths differ, or a number is not finite.
    """
    y = checked(right, "right")
    groups = clusters(families, y.size)
    columns = {name: checked(values, name) for name, values in conditions.items()}
    if any(values.size != y.size for values in columns.values()):
        raise PkvError("a condition has another number of instances", "pair them")
    told = "a single cluster has no errors" if groups.n_families < 2 else _saturated(y, columns)
    if told:
        return Logistic((), told)
    design = np.column_stack([np.ones(y.size), *columns.values()])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return Logistic((), "a condition does not vary by itself")
    codes = np.unique(np.array([str(one) for one in families]), return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they warn of is told below
        model: Any = GEE(y[order], design[order], codes[order], family=Binomial(), cov_struct=Exchangeable())
        fit = model.fit()
    names = ["intercept", *columns]
    found = np.column_stack([fit.params, fit.conf_int(), fit.pvalues])
    if not np.isfinite(found).all() or float(np.abs(fit.params).max()) > _DIVERGED:
        return Logistic((), "the fit does not converge: accuracy saturates")
    return Logistic(
        tuple(Term(name, *(float(x) for x in line)) for name, line in zip(names, found, strict=True))
    )


def _saturated(y: np.ndarray, columns: Mapping[str, np.ndarray]) -> str:
    """Where there are no odds: all, or one level of a condition with two, is always right or always wrong."""
    parts = {"everywhere": np.ones(y.size, bool)}
    for name, values in columns.items():
        levels = np.unique(values)
        if levels.size == 2:
            parts |= {f"where {name} is {level:g}": values == level for level in levels}
    for where, part in parts.items():
        share = float(y[part].mean())
        if share in (0.0, 1.0):
            return f"accuracy saturates: it is {share:g} {where}"
    return ""
