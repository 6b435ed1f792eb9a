"""The figure of the keystone experiment shows the record's numbers."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.figures.rooms import drawn_by
from experiments.keystone.figures import keystone_bars
from experiments.keystone.tables import MethodLine
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import interval
from tests.experiments import made_up
from tests.experiments.made_up import estimate


def line(method: str, value: float, *, composes: bool = True) -> MethodLine:
    composed = estimate(value) if composes else None
    columns: dict[str, Any] = {
        **interval("recomputed", estimate(value + 0.05)),
        **interval("composed", composed),
        **interval("agreement", composed),
    }
    return MethodLine(
        method=method,
        recomputed_right=1.0,
        recomputed_excluded=0,
        composed_right=1.0 if composes else None,
        composed_excluded=2 if composes else None,
        tokens=3.0,
        n=6,
        n_families=3,
        **columns,
    )


def record(competent: bool = True) -> RunRecord:
    lines = [line("stale", 0.0), line("erratum", 0.9), line("hoist", 0.95, composes=False)]
    return made_up.record("keystone", lines, competent=competent)


def test_it_is_drawn_by_the_command_and_marked() -> None:
    assert list(drawn_by("keystone").values()) == [keystone_bars]
    figure: Any = keystone_bars(record())
    assert figure.layout.title.subtitle.text.startswith("made-up · ")
    assert NOT_COMPETENT not in figure.layout.title.text
    marked: Any = keystone_bars(record(competent=False))
    assert NOT_COMPETENT in marked.layout.title.text
    assert list(figure.select_yaxes())[0].title.text
    assert (figure.layout.width or figure.layout.template.layout.width) == 900


def test_a_record_without_the_table_is_refused() -> None:
    with pytest.raises(PkvError, match=r"has no table 'methods'; run experiments.keystone again"):
        keystone_bars(record().model_copy(update={"tables": {}}))


def test_both_caches_are_shown_and_what_was_left_out_is_said() -> None:
    figure: Any = keystone_bars(record())
    found = {trace.name: dict(zip(trace.y, trace.x, strict=True)) for trace in figure.data}
    assert found["composed: transplanted chunk"] == {"erratum": 0.9, "stale": 0.0}  # hoist composes nothing
    assert found["recomputed: full prefill"]["erratum"] == pytest.approx(0.95)
    assert found["recomputed: full prefill"]["hoist"] == pytest.approx(1.0)
    assert "noise floor: 0 and 2" in figure.layout.title.subtitle.text
