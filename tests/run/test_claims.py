"""Claims against thresholds that were set before."""

from pkv_interp.run.claims import Criterion, verdicts
from pkv_interp.stats import Estimate

CRITERIA = (
    Criterion("it is there", "accuracy", "over", 0.8),
    Criterion("it is there", "field", "under", 0.1),
    Criterion("it is not", "field", "over", 0.5),
    Criterion("something else", "never measured", "over", 0.5),
)


def estimate(value: float, half: float | None = 0.05) -> Estimate:
    ends = {} if half is None else {"ci_low": value - half, "ci_high": value + half}
    return Estimate(value=value, n_families=1 if half is None else 4, n_instances=4, **ends)


def verdict(**figures: Estimate) -> dict[str, tuple[bool, bool]]:
    return {one.claim: (one.holds, one.certain) for one in verdicts(CRITERIA, figures)[1]}


def test_a_claim_holds_where_all_of_its_criteria_are_met() -> None:
    assert verdict(accuracy=estimate(0.9), field=estimate(0.0)) == {
        "it is there": (True, True),
        "it is not": (False, False),
    }
    assert verdict(accuracy=estimate(0.9), field=estimate(0.6)) == {
        "it is there": (False, False),
        "it is not": (True, True),
    }


def test_it_is_certain_only_where_whole_intervals_meet_them() -> None:
    assert verdict(accuracy=estimate(0.82), field=estimate(0.0))["it is there"] == (True, False)
    assert verdict(accuracy=estimate(0.9, None), field=estimate(0.0))["it is there"] == (True, False)


def test_on_the_threshold_is_not_over_it() -> None:
    assert verdict(accuracy=estimate(0.8), field=estimate(0.0))["it is there"] == (False, False)


def test_a_claim_without_its_figure_is_left_out() -> None:
    judged, held = verdicts(CRITERIA, {"field": estimate(0.0)})
    assert [one.claim for one in judged] == [one.claim for one in held] == ["it is not"]
    assert verdicts(CRITERIA, {}) == ([], [])
