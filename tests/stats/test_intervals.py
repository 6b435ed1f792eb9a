"""The one interval of shares: known answers, monotone in the count, and how often it holds the truth."""

from itertools import pairwise

import numpy as np
import pytest

from pkv_interp.stats import mean
from pkv_interp.stats.crossed import share_over_seeds
from pkv_interp.stats.intervals import by_family, wilson_ends

SHARE = (0.0, 1.0)


def test_known_answers() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29.
    for hits, trials, ends in (
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
    ):
        assert wilson_ends(hits, trials, 0.95) == pytest.approx(ends, abs=1e-4)


@pytest.mark.parametrize("n_families", [1, 2, 7, 16])
def test_a_greater_share_has_greater_ends(n_families: int) -> None:
    """At the ends of the range too: 32 of 32 is not told with less certainty than 31 of 32."""
    families = [at % n_families for at in range(2 * n_families)]
    found = [
        mean([1.0] * hits + [0.0] * (len(families) - hits), families, bounds=SHARE)
        for hits in range(len(families) + 1)
    ]
    if n_families == 1:  # one family says nothing of others
        assert {(one.ci_low, one.ci_high) for one in found} == {(None, None)}
        return
    ends = [(float(one.ci_low or 0.0), float(one.ci_high or 0.0)) for one in found]
    for one, two in pairwise(ends):
        assert one[0] < two[0]
        assert one[1] < two[1]
    assert ends[0][0] == 0.0
    assert ends[-1][1] == 1.0
    for one, (low, high) in zip(found, ends, strict=True):
        assert low <= one.value <= high
        mirrored = found[len(families) - found.index(one)]
        assert low == pytest.approx(1.0 - float(mirrored.ci_high or 0.0))


def test_it_counts_families_and_not_instances() -> None:
    few = mean([1.0, 1.0, 0.0, 0.0], list("abcd"), bounds=SHARE)
    many = mean([1.0, 1.0, 0.0, 0.0] * 8, list("abcd") * 8, bounds=SHARE)
    assert (few.ci_low, few.ci_high) == (many.ci_low, many.ci_high) == by_family(0.5, 4, 0.95)
    assert (few.n_instances, many.n_instances) == (4, 32)


def test_seeds_that_agree_add_nothing_and_seeds_that_do_not_widen_it() -> None:
    families = [f"f{at}" for at in range(8)]
    one = np.array([1.0] * 6 + [0.0] * 2)
    alone = mean(one, families, bounds=SHARE)
    agreeing = share_over_seeds(np.stack([one] * 3), families)
    assert agreeing.ci_low is not None
    assert alone.ci_low is not None
    assert agreeing.ci_low <= alone.ci_low
    apart = share_over_seeds(np.stack([np.ones(8), np.ones(8), np.array([1.0] * 2 + [0.0] * 6)]), families)
    assert apart.value == pytest.approx(0.75)
    assert apart.ci_low is not None
    assert apart.ci_low < agreeing.ci_low


@pytest.mark.parametrize("agreement", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("truth", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("n_families", [8, 16])
def test_it_holds_the_truth_whether_or_not_instances_of_a_family_agree(
    agreement: float, truth: float, n_families: int
) -> None:
    """Two instances a family with the given correlation; Wilson's own coverage at 8 trials is over 91.5 %."""
    rng = np.random.default_rng(0)
    sets = 4000
    own = rng.random((sets, n_families, 2)) < truth
    shared = rng.random((sets, n_families, 1)) < truth
    copies = rng.random((sets, n_families, 1)) < agreement
    shares = np.where(copies, shared, own).mean((1, 2))
    held = [low <= truth <= high for low, high in (by_family(share, n_families, 0.95) for share in shares)]
    assert np.mean(held) > 0.915
