"""Random sets of positions that resemble a chosen set, as controls for it."""

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np


def random_positions_like(
    chosen: Sequence[int],
    pool: Sequence[int],
    strata: Sequence[Hashable],
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """As many random positions as ``chosen``, from its strata, none of them chosen while others are left.

    Args:
        chosen: positions, all of them in ``pool``.
        pool: positions that may be drawn.
        strata: of each position in ``pool``, for example its region or the kind of its token.
        rng: draws them.

    A stratum that has too few positions besides the chosen ones is filled up from the rest of the pool, and
    only when nothing else is left from the chosen ones themselves. Sorted.
    """
    taken = set(chosen)
    stratum = dict(zip(pool, strata, strict=True))
    wanted = Counter(stratum[p] for p in chosen)
    drawn: list[int] = []
    for name in sorted(wanted, key=str):
        free = [p for p in pool if p not in taken and stratum[p] == name]
        drawn += _some(free, wanted[name], rng)
    for rest in ([p for p in pool if p not in taken], list(pool)):
        missing = len(chosen) - len(drawn)
        drawn += _some([p for p in rest if p not in set(drawn)], missing, rng)
    return tuple(sorted(drawn))


def matched_share(
    chosen: Sequence[int], drawn: Sequence[int], pool: Sequence[int], strata: Sequence[Hashable]
) -> float:
    """Share of ``drawn`` that stand for a chosen position of their own stratum: 1 is a perfect match.

    Args:
        chosen: positions that were to be matched.
        drawn: random positions in their place.
        pool: positions that could be drawn.
        strata: of each position in ``pool``.
    """
    stratum = dict(zip(pool, strata, strict=True))
    wanted, got = (Counter(stratum[p] for p in side) for side in (chosen, drawn))
    return sum((wanted & got).values()) / len(chosen)


def _some(free: Sequence[int], n: int, rng: np.random.Generator) -> list[int]:
    return [free[int(i)] for i in rng.permutation(len(free))[: max(n, 0)]]
