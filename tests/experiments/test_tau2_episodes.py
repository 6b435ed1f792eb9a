"""Episodes on made-up measurements: their shares by course, and the controls that rest on them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.tau2.episodes import COURSES, EpisodeRun
from experiments.tau2.turns import Checks
from tests.experiments.tau2_examples import NAMES, episode, lines, measured, summed, visit


def test_episodes_are_told_by_course_and_of_those_right_in_both_states() -> None:
    report = summed(competence_threshold=0.5)
    stated = {name: one.value for name, one in report.stated().items()}
    changed = {name: stated[f"episode_changed_{name}"] for name in NAMES}
    assert changed == dict.fromkeys(NAMES, 1.0) | {
        "full": pytest.approx(2 / 3),
        "field_only": pytest.approx(2 / 3),
        "stale": 0.0,
    }
    assert stated["episode_unchanged_unified"] == pytest.approx(2 / 3)
    assert stated["episode_unchanged_stale"] == stated["episode_looked_up_stale"] == 1.0
    assert stated["episode_both_right"] == pytest.approx(2 / 3)
    (chosen,) = lines(
        report, "episodes", course="changed", sample="both_right", arm="field_only", quantity="success"
    )
    assert (chosen.value, chosen.n_instances) == (0.5, 2)
    (agreed,) = lines(report, "episodes", course="changed", sample="all", arm="stale", quantity="agreement")
    assert agreed.value == pytest.approx(1 / 3)
    assert {row.sample for row in lines(report, "episodes")} == {"all", "retail", "airline", "both_right"}


def test_no_claim_of_an_episode_is_stated_below_the_gate() -> None:
    stated = set(summed(measured([visit("ann", before=False), visit("bob", gold=(1,))])).stated())
    assert {name for name in stated if name.startswith("episode_")} == {"episode_both_right"}


def test_an_action_can_be_right_and_the_database_another_one() -> None:
    run = visit("ann")
    refused = replace(run.arms["erratum"], accepted=np.array([False]))
    odd = EpisodeRun({c: replace(run, arms=run.arms | {"erratum": refused}) for c in COURSES}, 1.0)
    report = summed(measured(episodes=[odd]))
    told = {
        row.quantity: row.value
        for row in lines(report, "episodes", course="changed", sample="all", arm="erratum")
    }
    assert (told["right"], told["success"]) == (1.0, 0.0)


def failed(*episodes: EpisodeRun) -> set[str]:
    """Controls that fail with these episodes."""
    return {one.name for one in summed(measured(episodes=list(episodes))).controls if not one.passed}


def test_every_control_of_episodes_can_fail() -> None:
    assert failed(episode("gil")) == set()
    assert "tools_tell_states" in failed(episode("gil"), episode("hal", told=0.5))
    good = episode("gil")
    quiet = good.courses["unchanged"]
    for name in ("prefix_cache", "erratum", "field_only", "field_erratum", "stale"):
        off = replace(quiet.arms[name], margin=quiet.arms[name].margin + 0.01)
        courses = good.courses | {"unchanged": replace(quiet, arms=quiet.arms | {name: off})}
        assert "unchanged_alike" in failed(replace(good, courses=courses)), name
    broken = replace(quiet, checks=Checks(0.0, None, 1.0, 0.5))
    assert failed(replace(good, courses=good.courses | {"unchanged": broken})) == {"right_succeeds"}
