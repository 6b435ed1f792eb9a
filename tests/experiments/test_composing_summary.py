"""The summary of composing, on measurements made up in Python."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.composing.measure import Measured, TooLong
from experiments.composing.scenes import SceneResult, Side
from experiments.composing.settings import ComposingSettings
from experiments.composing.sides import decisions_of, sides_of
from experiments.composing.summary import summarise
from experiments.composing.tables import Fidelity, LeftOut
from experiments.composing.timing import Round, Timed
from pkv_interp.measure.splices import Distance
from pkv_interp.records import published
from pkv_interp.tasks import FAMILIES
from tests import runs
from tests.experiments.configs import compose
from tests.experiments.made_up import scoring


@pytest.fixture(scope="module")
def settings() -> ComposingSettings:
    made = compose("composing", *runs.COMPOSING)
    assert isinstance(made, ComposingSettings)
    return made


def _side(gold: int, margin: float, arms: dict[str, float]) -> Side:
    found = {name: Distance(value, 0.5, True, 0.9, 0.8) for name, value in arms.items()}
    return Side(("match", "mismatch")[gold], gold, margin, True, gold == 0, found)


def _scenes() -> list[SceneResult]:
    """Four families: the full prefill of three is right on both sides, that of one is not."""
    scenes = []
    for number, family in enumerate(FAMILIES[:4]):
        off = 1.0 if number < 3 else -1.0
        arms = {"transplant": 2.0, "no_rotation": 2.0, "seam1": 3.0}
        turned = {"transplant": 2.0, "no_rotation": 2.0, "seam1": -3.0}
        sides = _side(0, off * 4.0, arms), _side(1, -4.0, turned)
        scenes.append(SceneResult(family.name, "discovery", f"{family.name}-0", "only_for", 9, 2, [3], sides))
    return scenes


def test_agreement_is_counted_where_full_is_right_on_both_values(settings: ComposingSettings) -> None:
    """A blind arm agrees on half of what is counted."""
    scenes = _scenes()
    assert [d.right for d in decisions_of(scenes)] == [True] * 6 + [False, True]
    assert [side.counted for side in sides_of(scenes)] == [True] * 6 + [False] * 2
    times = [Round(f.name, [Timed(n, n**1.5, n**0.5) for n in (10, 100)]) for f in FAMILIES[:2]]
    told = scoring(settings.model_copy(update={"competence_threshold": 0.7}))
    report = summarise(Measured({"rule": scenes}, [], [], {}, [], times), told)
    assert report.gate is not None
    assert report.gate.passed
    headline = report.stated()
    assert headline["transplant_agreement"].value == 0.5
    assert headline["transplant_agreement"].n_families == 3
    assert headline["seam1_agreement"].value == 1.0
    assert headline["transplant_kl"].value == pytest.approx(0.5)
    assert headline["ttft_exponent"].value == pytest.approx(1.5)
    assert headline["ttft_exponent_composed"].value == pytest.approx(0.5)
    assert headline["ttft_ratio_100"].value == pytest.approx(100.0)
    lines = [row for row in report.tables if isinstance(row, Fidelity)]
    (line,) = [row for row in lines if row.arm == "no_rotation"]
    assert (line.counted, line.n) == (6, 8)
    assert line.margin_error == pytest.approx(np.mean([2, 6, 2, 6, 2, 6, 6, 6]))
    (line,) = [row for row in lines if row.arm == "seam1"]
    assert line.recomputed == pytest.approx(1 / 3)


def test_sizes_that_a_short_model_does_not_serve_stand_in_the_record(settings: ComposingSettings) -> None:
    times = [Round(f.name, [Timed(n, 2.0, 1.0) for n in (10, 100)]) for f in FAMILIES[:2]]
    left_out = [TooLong("lengths", 4096, 2048), TooLong("chunk_fillers", 272, 2048)]
    report = summarise(Measured({"rule": _scenes()}, [], left_out, {}, [], times), scoring(settings))
    said = [row.columns() for row in report.tables if isinstance(row, LeftOut)]
    assert said == [
        {"what": "lengths", "size": 4096, "positions": 2048},
        {"what": "chunk_fillers", "size": 272, "positions": 2048},
    ]


def test_a_model_that_fails_the_gate_claims_times_alone(settings: ComposingSettings) -> None:
    times = [Round(f.name, [Timed(n, 2.0, 1.0) for n in (10, 100)]) for f in FAMILIES[:2]]
    told = scoring(settings.model_copy(update={"competence_threshold": 0.9}))
    report = summarise(Measured({"rule": _scenes()}, [], [], {}, [], times), told)
    assert {name for name in report.stated() if not name.startswith("ttft_")} == {"competence"}


def test_published_figures_have_our_names() -> None:
    names = set(published(experiment="composing")["headline"])
    assert names == {"transplant_agreement", "ttft_ratio_512", "ttft_ratio_2048", "ttft_ratio_8192"}
