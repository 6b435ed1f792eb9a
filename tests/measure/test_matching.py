"""Random sets resemble the chosen one and avoid it."""

from collections import Counter

import numpy as np

from pkv_interp.measure.matching import matched_share, random_positions_like

POOL = list(range(10, 40))
STRATA = ["a" if p < 20 else "b" if p < 36 else "c" for p in POOL]  # 10, 16 and 4 positions


def stratum(position: int) -> str:
    return STRATA[POOL.index(position)]


def test_the_strata_are_matched_and_nothing_chosen_is_drawn() -> None:
    chosen = [10, 11, 25, 36]
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(300):
        drawn = random_positions_like(chosen, POOL, STRATA, rng)
        assert Counter(map(stratum, drawn)) == {"a": 2, "b": 1, "c": 1}
        assert not set(drawn) & set(chosen)
        assert list(drawn) == sorted(set(drawn))
        assert matched_share(chosen, drawn, POOL, STRATA) == 1.0
        seen.update(drawn)
    assert seen == set(POOL) - set(chosen)


def test_a_short_stratum_is_filled_from_the_rest() -> None:
    chosen = [36, 37, 38]  # one other "c" is left
    drawn = random_positions_like(chosen, POOL, STRATA, np.random.default_rng(1))
    assert len(drawn) == 3
    assert 39 in drawn
    assert not set(drawn) & set(chosen)
    assert matched_share(chosen, drawn, POOL, STRATA) == 1 / 3


def test_the_chosen_ones_themselves_come_last() -> None:
    chosen = POOL[:20]
    drawn = random_positions_like(chosen, POOL, STRATA, np.random.default_rng(2))
    assert len(set(drawn)) == 20
    assert set(POOL[20:]) <= set(drawn)
    assert random_positions_like(POOL, POOL, STRATA, np.random.default_rng(2)) == tuple(POOL)
