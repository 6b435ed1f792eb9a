"""The figure of the confirmatory run: every claim, its threshold, and its outcome by colour and by word."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.confirm.figures import FIGURES
from experiments.confirm.tables import FAILED, NOT_APPLICABLE, PASSED
from pkv_interp.plots.theme import BLUE, GREY, VERMILLION
from pkv_interp.records import RunRecord
from tests.experiments import made_up
from tests.experiments.confirm_made_up import BAD, GOOD, World, lines, report

COLOURS = {PASSED: BLUE, FAILED: VERMILLION, NOT_APPLICABLE: GREY}


def record(world: World) -> RunRecord:
    return made_up.record("confirm", report(world).tables)


@pytest.fixture(scope="module")
def drawn() -> Any:
    bad = {name: BAD[name] for name in ("field_only", "unified_speed")}
    return FIGURES["claims"](record(World(GOOD | bad, wrong={"quads": 4})))


def words(drawn: Any) -> list[Any]:
    return [one for one in drawn.layout.annotations if any(word in one.text for word in COLOURS)]


def test_every_claim_has_its_outcome_in_words_and_in_its_colour(drawn: Any) -> None:
    told = lines(
        report(World(GOOD | {n: BAD[n] for n in ("field_only", "unified_speed")}, wrong={"quads": 4}))
    )
    assert list(drawn.layout.yaxis.ticktext) == list(told)
    found = {one.y: (one.text, one.font.color) for one in words(drawn)}
    assert len(found) == len(told)
    for line, at in zip(told.values(), drawn.layout.yaxis.tickvals, strict=True):
        text, colour = found[at]
        assert text.startswith(f"<b>{line.outcome}</b>")
        assert colour == COLOURS[line.outcome]
    assert {line.outcome for line in told.values()} == set(COLOURS)


def test_points_stand_at_the_estimates_with_their_intervals(drawn: Any) -> None:
    traces = {trace.name: trace for trace in drawn.data}
    assert set(traces) == {*COLOURS, "over all pairs"}
    told = lines(
        report(World(GOOD | {n: BAD[n] for n in ("field_only", "unified_speed")}, wrong={"quads": 4}))
    )
    for outcome in (PASSED, FAILED):
        mine = [line for line in told.values() if line.outcome == outcome]
        assert list(traces[outcome].x) == pytest.approx([line.value for line in mine])
        assert traces[outcome].marker.color == COLOURS[outcome]
    assert list(traces[NOT_APPLICABLE].x) == [None]
    assert "13 of" not in drawn.layout.title.text
    judged = sum(line.outcome != NOT_APPLICABLE for line in told.values())
    assert f"{judged - 2} of {judged} claims passed" in drawn.layout.title.subtitle.text


def test_thresholds_are_lines_at_their_places(drawn: Any) -> None:
    places = dict(zip(drawn.layout.yaxis.ticktext, drawn.layout.yaxis.tickvals, strict=True))
    ends: dict[float, list[float]] = {}
    for shape in drawn.layout.shapes:
        ends.setdefault((shape.y0 + shape.y1) / 2, []).append(shape.x0)
    assert sorted(ends[places["field_only"]]) == pytest.approx([-0.1, 0.1])
    assert ends[places["notes_only"]] == pytest.approx([0.9])
    assert ends[places["unified_speed"]] == pytest.approx([1.5])


def test_a_record_without_a_claim_that_applies_is_drawn() -> None:
    wrong = {"field pairs": 8, "polarity pairs": 8}
    drawn: Any = FIGURES["claims"](record(World(GOOD, wrong=wrong)))
    assert "0 of 0 claims passed, 19 do not apply" in drawn.layout.title.subtitle.text
    assert {one.font.color for one in words(drawn)} == {GREY}
