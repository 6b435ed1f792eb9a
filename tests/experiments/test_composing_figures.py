"""Figures of the composing experiment show the record's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest

from experiments.composing import figures
from experiments.composing.tables import ArmColumns, CurveArm, Fidelity, FirstToken, WindowCause
from experiments.figures.rooms import drawn_by
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import TableRow, interval
from tests.experiments import made_up
from tests.experiments.made_up import estimate

Draw = Callable[[RunRecord], go.Figure]
DRAWN: tuple[Draw, ...] = (
    figures.fidelity_bars,
    figures.seam_curve,
    figures.transplant_growth,
    figures.first_token_time,
    figures.window_diagnosis,
)
over_every = pytest.mark.parametrize("draw", DRAWN, ids=lambda d: d.__name__)
#: Columns that no figure draws.
REST = {"tokens": 9.0, "recomputed": 0.0, "right": 1.0, "cosine": 1.0, "centred_cosine": 1.0, "near_ties": 0}
GATE = {"full_match": 1.0, "full_mismatch": 1.0, "competent": True, "gold_first_in_menu": 0.5}


def perhaps(name: str, value: float | None) -> dict[str, Any]:
    return interval(name, None if value is None else estimate(value))


def line(kind: type[ArmColumns], arm: str, kl: float, agreement: float | None, **more: Any) -> ArmColumns:
    columns: dict[str, Any] = (
        {"chunk": 3.0, "moved": 2.0, "n": 6, "n_families": 3, "counted": 6} | REST | more
    )
    columns |= interval("kl", estimate(kl, 0.01)) | interval("margin_error", estimate(0.5))
    return kind(arm=arm, **columns, **perhaps("top1", agreement), **perhaps("agreement", agreement))


def first_token(length: int) -> FirstToken:
    columns: dict[str, Any] = {
        **interval("full", estimate(length / 100, 0.01)),
        **interval("composed", estimate(0.5, 0.01)),
        **interval("ratio", estimate(length / 50, 0.01)),
    }
    return FirstToken(length=length, n_families=2, n_instances=2, suffix=32, **columns)


def lines() -> list[TableRow]:
    """Every table that the figures read."""
    return [
        line(Fidelity, "transplant", 0.2, 0.9, condition="rule"),
        line(Fidelity, "no_rotation", 0.3, 0.8, condition="rule"),
        *(line(Fidelity, f"seam{k}", 0.2 / k, 0.9 + 0.01 * k, condition="rule") for k in (1, 4)),
        line(Fidelity, "transplant", 0.9, None, condition="all"),
        line(Fidelity, "epic1", 0.5, None, condition="all"),
        *(
            line(
                CurveArm,
                "transplant",
                0.1 * n,
                None,
                curve=curve,
                size=n,
                **GATE | {"chunk": 10.0 * n, "moved": 5.0 * n},
            )
            for curve in ("chunk_fillers", "distance_fillers", "skills")
            for n in (1, 2, 3)
        ),
        *(first_token(n) for n in (100, 1000)),
        *(
            WindowCause.of(
                estimate(0.1 * at),
                model="tiny-gemma3",
                sink=at < 4,
                rope_per_layer=at % 4 < 2,
                window=at % 2 == 0,
            )
            for at in range(8)
        ),
    ]


def record(competent: bool = True) -> RunRecord:
    return made_up.record("composing", lines(), competent=competent)


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
    assert set(drawn_by("composing").values()) == set(DRAWN)


@over_every
def test_titles_axes_and_the_gate(draw: Draw) -> None:
    figure: Any = draw(record())
    assert figure.layout.title.subtitle.text.startswith("made-up · ")
    assert NOT_COMPETENT not in figure.layout.title.text
    marked: Any = draw(record(competent=False))
    assert NOT_COMPETENT in marked.layout.title.text
    assert list(figure.select_yaxes())[0].title.text
    assert (figure.layout.width or figure.layout.template.layout.width) == 900


@over_every
def test_a_record_without_the_table_is_refused(draw: Draw) -> None:
    with pytest.raises(PkvError, match=r"has no table '.*'; run experiments.composing again"):
        draw(record().model_copy(update={"tables": {}}))


def test_fidelity_shows_agreement_by_arm_and_leaves_out_what_was_not_counted() -> None:
    found = bars(figures.fidelity_bars(record()))
    assert found["transplant"]["policy, field after it"] == 0.9
    assert found["no rotation"] == {"policy, field after it": 0.8}
    assert found["transplant"]["all three"] != found["transplant"]["all three"]  # NaN: no bar


def test_the_seam_curve_starts_at_the_transplant() -> None:
    figure = figures.seam_curve(record())
    x, y = zip(*curve(figure, "policy, field after it"), strict=True)
    assert x == (1, 2, 5)  # 0, 1 and 4 tokens on an axis that starts at 1
    assert y == pytest.approx((0.9, 0.91, 0.94))
    named = [t.name for t in figure.data if t.name and t.showlegend]  # type: ignore[union-attr]
    assert named == ["policy, field after it", "all three"]


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
