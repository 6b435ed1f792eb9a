"""Figures of composing and keystone show the record's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest

from experiments.figures import FIGURES
from pkv_interp import figures
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord
from tests.figures.examples import circuit_record, estimate

Draw = Callable[[RunRecord], go.Figure]
COMPOSING: tuple[Draw, ...] = (
    figures.fidelity_bars,
    figures.seam_curve,
    figures.transplant_growth,
    figures.first_token_time,
    figures.window_diagnosis,
)
over_every = pytest.mark.parametrize("draw", [*COMPOSING, figures.keystone_bars], ids=lambda d: d.__name__)
N = {"n": 6, "n_families": 3, "counted": 6}


def named(name: str, value: float | None, half: float = 0.1) -> dict[str, Any]:
    low, high = (None, None) if value is None else (value - half, value + half)
    return {name: value, f"{name}_ci_low": low, f"{name}_ci_high": high}


def line(arm: str, kl: float, agreement: float | None, **more: Any) -> dict[str, Any]:
    return {"arm": arm, **named("kl", kl, 0.01), **named("agreement", agreement), **N, **more}


def record(experiment: str = "composing", competent: bool = True) -> RunRecord:
    """A made-up record with every table that the figures read."""
    fidelity = [
        line("transplant", 0.2, 0.9, condition="rule"),
        line("no_rotation", 0.3, 0.8, condition="rule"),
        *(line(f"seam{k}", 0.2 / k, 0.9 + 0.01 * k, condition="rule") for k in (1, 4)),
        line("transplant", 0.9, None, condition="all"),
        line("epic1", 0.5, None, condition="all"),
    ]
    curves = [
        line("transplant", 0.1 * n, None, curve=curve, size=n, chunk=10.0 * n, moved=5.0 * n)
        for curve in ("chunk_fillers", "distance_fillers", "skills")
        for n in (1, 2, 3)
    ]
    time = [
        {
            "length": n,
            **named("full", n / 100, 0.01),
            **named("composed", 0.5, 0.01),
            "n_instances": 2,
            "suffix": 32,
        }
        for n in (100, 1000)
    ]
    diagnosis = [
        {
            **estimate(0.1 * at),
            "model": "tiny-gemma3",
            "sink": at < 4,
            "rope_per_layer": at % 4 < 2,
            "window": at % 2 == 0,
        }
        for at in range(8)
    ]
    methods = [
        {
            "method": method,
            **named("composed", value),
            **named("recomputed", value + 0.05),
            "composed_excluded": 2,
            "recomputed_excluded": 0,
            **N,
        }
        for method, value in (("stale", 0.0), ("erratum", 0.9))
    ]
    tables = {
        "fidelity": fidelity,
        "curves": curves,
        "time": time,
        "diagnosis": diagnosis,
        "methods": methods,
    }
    base = circuit_record(competent=competent)
    return base.model_copy(update={"experiment": experiment, "tables": tables})


def bars(figure: go.Figure) -> dict[str, dict[str, float]]:
    """Value by label, of each named set of bars; the first panel where there are two."""
    found: dict[str, dict[str, float]] = {}
    for trace in figure.data:
        one: Any = trace
        found.setdefault(one.name, dict(zip(one.y, one.x, strict=True)))
    return found


def curve(figure: go.Figure, name: str) -> list[tuple[float, float]]:
    shown: list[Any] = [t for t in figure.data if t.name == name]  # type: ignore[union-attr]
    return list(zip(shown[0].x, shown[0].y, strict=True))


def test_all_of_them_are_drawn_by_the_command() -> None:
    assert set(FIGURES["composing"].values()) == set(COMPOSING)
    assert list(FIGURES["keystone"].values()) == [figures.keystone_bars]


@over_every
def test_titles_axes_and_the_gate(draw: Draw) -> None:
    figure: Any = draw(record())
    assert figure.layout.title.subtitle.text.startswith("made-up · ")
    assert figures.NOT_COMPETENT not in figure.layout.title.text
    marked: Any = draw(record(competent=False))
    assert figures.NOT_COMPETENT in marked.layout.title.text
    assert list(figure.select_yaxes())[0].title.text
    assert (figure.layout.width or figure.layout.template.layout.width) == 900


@over_every
def test_a_record_without_the_table_is_refused(draw: Draw) -> None:
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.composing again"):
        draw(record().model_copy(update={"tables": {}}))


def test_fidelity_shows_agreement_by_arm_and_leaves_out_what_was_not_counted() -> None:
    found = bars(figures.fidelity_bars(record()))
    assert found["transplant"]["policy, field behind it"] == 0.9
    assert found["no rotation"] == {"policy, field behind it": 0.8}
    assert found["transplant"]["all three"] != found["transplant"]["all three"]  # NaN: no bar


def test_the_seam_curve_starts_at_the_transplant() -> None:
    figure = figures.seam_curve(record())
    x, y = zip(*curve(figure, "policy, field behind it"), strict=True)
    assert x == (1, 2, 5)  # 0, 1 and 4 tokens on an axis that starts at 1
    assert y == pytest.approx((0.9, 0.91, 0.94))
    named = [t.name for t in figure.data if t.name and t.showlegend]  # type: ignore[union-attr]
    assert named == ["policy, field behind it", "all three"]


def test_times_are_drawn_as_measured() -> None:
    figure = figures.first_token_time(record())
    assert curve(figure, "full prefill") == [(100, 1.0), (1000, 10.0)]
    assert curve(figure, "prefix, splice and suffix") == [(100, 0.5), (1000, 0.5)]


def test_growth_is_drawn_over_what_grew() -> None:
    figure = figures.transplant_growth(record())
    assert [x for x, _ in curve(figure, "distance_fillers")] == [5.0, 10.0, 15.0]
    assert [x for x, _ in curve(figure, "skills")] == [1, 2, 3]


def test_the_diagnosis_has_a_bar_for_every_combination() -> None:
    found = bars(figures.window_diagnosis(record()))["tiny-gemma3"]
    assert len(found) == 8
    assert found["sink + rope per layer + window"] == 0.0
    assert found["none"] == pytest.approx(0.7)


def test_keystone_shows_both_caches_and_says_what_was_left_out() -> None:
    figure: Any = figures.keystone_bars(record("keystone"))
    found = bars(figure)
    assert found["composed: transplanted chunk"] == {"erratum": 0.9, "stale": 0.0}
    assert found["recomputed: full prefill"]["erratum"] == pytest.approx(0.95)
    assert "noise floor: 0 and 2" in figure.layout.title.subtitle.text
