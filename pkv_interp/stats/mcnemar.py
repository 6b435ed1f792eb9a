"""Two arms that are right or wrong on the same instances."""

from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy.stats import binomtest

from pkv_interp.stats.shares import paired_shares


@dataclass(frozen=True)
class McNemar:
    """Outcome of the exact test.

    Attributes:
        first: instances on which the first arm alone is right.
        second: instances on which the second alone is.
        p_value: two-sided; 1 where the two never differ.
    """

    first: int
    second: int
    p_value: float


def mcnemar(first: ArrayLike, second: ArrayLike) -> McNemar:
    """McNemar's exact test, the binomial one on instances where two arms differ (scipy).

    It takes instances as independent: of clusters it says too much, and ``pairwise`` says it by cluster.

    Args:
        first: [instances], 0 or 1.
        second: [instances], 0 or 1.

    Raises:
        PkvError: lengths differ, or a number is neither 0 nor 1.
    """
    a, b = paired_shares(first, second)
    alone, other = int(((a == 1) & (b == 0)).sum()), int(((b == 1) & (a == 0)).sum())
    n = alone + other
    return McNemar(alone, other, float(binomtest(alone, n, 0.5).pvalue) if n else 1.0)
