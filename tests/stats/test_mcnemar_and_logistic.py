"""McNemar's exact test and the logistic model by clusters, against known answers and by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from pkv_interp.errors import PkvError
from pkv_interp.stats.logistic import gee_logistic
from pkv_interp.stats.mcnemar import mcnemar


def test_mcnemar_is_binomial_on_what_differs() -> None:
    first = np.array([1] * 9 + [0] * 1 + [1] * 20 + [0] * 5)
    second = np.array([0] * 9 + [1] * 1 + [1] * 20 + [0] * 5)
    found = mcnemar(first, second)
    assert (found.first, found.second) == (9, 1)
    assert found.p_value == pytest.approx(2 * binom.cdf(1, 10, 0.5))
    back = mcnemar(second, first)
    assert (back.first, back.second, back.p_value) == (1, 9, found.p_value)
    assert mcnemar([1, 0], [1, 0]).p_value == 1.0


def test_mcnemar_refuses_what_is_no_pair() -> None:
    with pytest.raises(PkvError, match="2 and 3 instances"):
        mcnemar([1, 0], [1, 0, 1])
    with pytest.raises(PkvError, match="neither right nor wrong"):
        mcnemar([1, 0.5], [1, 0])


def test_a_logistic_model_finds_the_odds_that_were_put_in() -> None:
    rng = np.random.default_rng(0)
    late = np.tile([0.0, 1.0], 1500)
    right = rng.random(3000) < 1 / (1 + np.exp(-(1.0 - 1.5 * late)))
    found = gee_logistic(right, {"late": late}, np.repeat(np.arange(60), 50).tolist())
    terms = {term.name: term for term in found.terms}
    assert found.undefined == ""
    assert terms["intercept"].coefficient == pytest.approx(1.0, abs=0.25)
    assert terms["late"].coefficient == pytest.approx(-1.5, abs=0.3)
    assert terms["late"].ci_low < -1.5 < terms["late"].ci_high
    assert terms["late"].p_value < 1e-6


def test_clusters_that_repeat_themselves_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    own = (rng.random(20) < 0.6).astype(float)
    late = rng.integers(0, 2, 20).astype(float)
    repeated = gee_logistic(
        np.repeat(own, 30), {"late": np.repeat(late, 30)}, np.repeat(range(20), 30).tolist()
    )
    apart = gee_logistic(np.repeat(own, 30), {"late": np.repeat(late, 30)}, list(range(600)))
    wide, narrow = (one.terms[1].ci_high - one.terms[1].ci_low for one in (repeated, apart))
    assert wide > 3 * narrow


def test_where_accuracy_saturates_there_are_no_odds() -> None:
    late = np.tile([0.0, 1.0], 10)
    families = np.repeat(range(5), 4).tolist()
    assert gee_logistic(np.ones(20), {"late": late}, families).undefined.startswith(
        "accuracy saturates: it is 1 everywhere"
    )
    half = gee_logistic(np.where(late > 0, 1.0, np.tile([0, 0, 1, 1], 5)), {"late": late}, families)
    assert half.undefined == "accuracy saturates: it is 1 where late is 1"
    assert half.terms == ()
    assert gee_logistic([1, 0], {}, ["a", "a"]).undefined == "a single cluster has no errors"
    same = gee_logistic([1, 0, 1, 0], {"x": np.ones(4)}, ["a", "b", "c", "d"])
    assert same.undefined == "a condition does not vary by itself"
    with pytest.raises(PkvError, match="another number of instances"):
        gee_logistic([1, 0], {"x": [1.0]}, ["a", "b"])
