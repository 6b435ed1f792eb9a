"""The editing experiment's summary on made-up measurements with known answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from experiments.editing.asking import Asked, KindsOfEdit
from experiments.editing.cases import Cases, build_cases
from experiments.editing.errata_summary import diagnostic
from experiments.editing.frontier import FrontierEdit
from experiments.editing.frontier_summary import gated_decisions
from experiments.editing.horizon import Horizon, Turn, TurnResult
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.settings import EditingSettings
from experiments.editing.sweep import Sweep
from experiments.editing.sweep_summary import selectors
from experiments.editing.traced import TracedEdit
from experiments.editing.traced_summary import traced
from experiments.editing.turns_summary import horizons
from pkv_interp.measure.edit_decisions import ComparedDecision
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.traced_edits import NewToken, SourceReading, TracedDecision
from pkv_interp.records.tables import by_table
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.stats import Estimate
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

SCORER = EditScorer({"seed": 0, "draws": 200})


def settings() -> EditingSettings:
    made = compose("editing", *runs.EDITING)
    assert isinstance(made, EditingSettings)
    return made


@pytest.fixture(scope="module")
def cases() -> Cases:
    sizes = settings()
    return build_cases(sizes, SceneSource.of(sizes, tiny("llama").tokenizer))


def measured(cases: Cases, **stages: Any) -> Measured:
    """Measurements of which a test makes up some stages; the others are empty."""
    names = [field.name for field in dataclasses.fields(Measured) if field.name != "cases"]
    empty: dict[str, Any] = {name: Stage({}) for name in names} | {"diagnostic": {}}
    return Measured(cases, **(empty | stages))


def stage(scenes: list[EditScene], results: list[Any]) -> Stage[Any]:
    return Stage({key_of(scene): result for scene, result in zip(scenes, results, strict=True)})


def stated(part: Part) -> dict[str, Estimate]:
    return {headline.name: headline.estimate for headline in part[0]}


def lines(part: Part, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table = by_table(part[1])[name]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]


def one(right: bool, margin: float = 1.0) -> ComparedDecision:
    return ComparedDecision(margin if right else -margin, right, True, kl=0.5, margin_error=0.1)


def test_k_star_is_the_first_size_that_is_as_good_as_full(cases: Cases) -> None:
    never, late = [one(False), one(False)], [one(False), one(True)]
    sweep = Sweep(one(False), one(True), {"causal": late, "recency": never}, random=[late, never])
    found = measured(cases, sweep=stage(cases.one_way, [sweep for _ in cases.one_way]))
    part = selectors(found, SCORER, (1, 8))
    assert stated(part)["k_star"].value == 8.0
    assert set(stated(part)) == {"k_star"}
    stars = {line["selector"]: line["reached"] for line in lines(part, "k_star")}
    assert stars == {"causal": True, "recency": False, "random": False}
    halves = [line["value"] for line in lines(part, "k_sweep", selector="random")]
    assert halves == [0.0, 0.5]
    closed = [line["margin_recovery"] for line in lines(part, "k_sweep", selector="causal")]
    assert closed == [0.0, 1.0]


def edit(said: bool, needed: bool) -> Asked:
    return Asked(said, needed, one(not needed), one(True), tokens=5, milliseconds=1.0, context=10)


def test_precision_and_recall_count_what_was_said(cases: Cases) -> None:
    used, scenes = settings().erratum, cases.one_way
    # Said of 3, needed of 3, both at once of 2; the quiet wording says nothing.
    found = [
        KindsOfEdit(
            {"gating": edit(True, True), "bystander": edit(i == 0, False), "value": edit(False, i < 1)}
        )
        for i in range(len(scenes))
    ]
    quiet = [
        KindsOfEdit(
            {"gating": edit(False, True), "bystander": edit(False, False), "value": edit(False, i < 1)}
        )
        for i in range(len(scenes))
    ]
    asked = {used: stage(scenes, found), "tagged": stage(scenes, quiet)}
    part = diagnostic(measured(cases, diagnostic=asked), SCORER, used)
    figures = stated(part)
    assert figures["diagnostic_recall_tagged"].value == 0.0
    assert "diagnostic_precision_tagged" not in figures
    assert figures["diagnostic_precision"].value == pytest.approx(2 / 3)
    assert figures["diagnostic_recall"].value == pytest.approx(2 / 3)
    assert figures["value_field_only"].value == pytest.approx(1 / 2)
    (value,) = lines(part, "diagnostic", wording=used, edit="value")
    assert (value["said"], value["needed"], value["precision"]) == (0, 1, None)
    (everything,) = lines(part, "diagnostic", wording=used, edit="all")
    assert (everything["edits"], everything["share_asked"]) == (6, 0.5)


def test_the_horizon_slope_is_a_slope_a_turn(cases: Cases) -> None:
    def turn(n: int) -> Turn:
        arm = TurnResult(one(n < 3), margin_error=0.25 * n, tokens=4)
        return Turn(n, {"full_reprefill": TurnResult(one(True), 0.0, 9), "erratum": arm})

    scenes = cases.horizons
    lasting = [Horizon([turn(n) for n in range(1, 6)]) for _ in scenes]
    part = horizons(measured(cases, horizons=stage(scenes, lasting)), SCORER)
    figures = stated(part)
    # Turns 1, 3 and 5 have the new value, and only the first of them is right; 2 and 4 have the old one.
    assert figures["horizon_slope"].value == pytest.approx(float(np.polyfit([1, 3, 5], [1, 0, 0], 1)[0]))
    assert figures["horizon"].value == pytest.approx(1 / 3)
    old = lines(part, "horizon_slopes", turns="old", what="p_correct a turn", method="erratum")
    assert [line["value"] for line in old] == [pytest.approx(-0.5)]
    errors = lines(part, "horizon_slopes", what="margin_error a turn")
    assert [(line["method"], line["value"]) for line in errors] == [("erratum", pytest.approx(0.25))] * 2


def test_each_prompt_is_gated_on_once_by_its_own_text(cases: Cases) -> None:
    found = FrontierEdit(one(False, 2.0), one(True, 3.0), {}, aligned=True, tokens=9, distance=4)
    scenes = cases.frontier
    decided = gated_decisions(measured(cases, frontier=stage(scenes, [found for _ in scenes])))
    # Two families at one length and two places; each edit has two prompts.
    assert len(decided) == 8
    assert all(d.right and d.top_token_right for d in decided)  # stale follows the old value: right there
    assert {d.gold_is_match: d.margin for d in decided if d.instance == scenes[0].instance} == {
        scenes[0].task.matches: 3.0,
        not scenes[0].task.matches: 2.0,
    }


def reading(without: float, given_back: float | None = None, written: float = 0.0) -> SourceReading:
    return SourceReading(3, 0.1, written, written / 2, without, given_back)


def told(margin: float, without: float, alone: float) -> TracedEdit:
    """An erratum: the margin as it stands, without the erratum, and without the old notes and the field."""
    sources = {"field": reading(margin), "old notes": reading(margin + 3), "erratum": reading(without)}
    one = TracedDecision(margin, 0.0, sources, {"old notes and field": alone}, [])
    return TracedEdit(-4.0, 4.0, {"erratum": one})


def test_an_erratum_that_fails_is_unread_or_outvoted(cases: Cases) -> None:
    """Read where its knockout takes a tenth of what a re-prefill moves (here 0.8 of 8 logits)."""
    edits = [told(-1.0, -1.5, -1.0), told(-1.0, -3.0, 2.0), told(1.0, -3.0, 2.0), told(-1.0, 0.0, 1.0)]
    assert len(cases.traced) == len(edits)
    part = traced(measured(cases, traced=stage(cases.traced, edits)), SCORER, ("erratum",))
    places = {line["place"]: line for line in lines(part, "traced_errata")}
    early, late = places["early"], places["late"]
    assert (early["failed"], early["unread"], early["outvoted"], early["followed_alone"]) == (2, 1, 1, 1)
    assert (late["failed"], late["unread"], late["outvoted"], late["followed_alone"]) == (1, 1, 0, 1)
    (old,) = lines(part, "traced", place="early", source="old notes")
    assert (old["value"], old["margin"], old["lost_if_given_back"]) == (-3.0, -1.0, None)
    (new,) = lines(part, "traced", place="early", source="erratum")
    assert new["value"] == pytest.approx((0.5 + 2.0) / 2)
    without = lines(part, "traced_without", place="early", without="old notes and field")
    assert [line["value"] for line in without] == [0.5]
    assert lines(part, "traced", source="new tokens") == []


def test_an_erratum_that_the_question_alone_reads_is_outvoted(cases: Cases) -> None:
    """A re-prefill moves 8 logits; hiding the erratum takes 0.5 at the decision, and 4.0 or 0.4 from all."""

    def fate(unseen: float, together: float) -> TracedEdit:
        sources = {
            "field": reading(-1.0),
            "old notes": reading(2.0),
            "erratum": dataclasses.replace(reading(-1.5), unseen=unseen),
        }
        alone, hidden = {"old notes and field": -1.0}, {"old notes and field": together}
        return TracedEdit(-4.0, 4.0, {"erratum": TracedDecision(-1.0, 0.0, sources, alone, [], hidden)})

    edits = [fate(-5.0, 3.0), fate(-1.4, -1.0)] * 2
    part = traced(measured(cases, traced=stage(cases.traced, edits)), SCORER, ("erratum",))
    line = lines(part, "traced_errata", place="early")[0]
    told = ("failed", "unread", "read_by_question", "outvoted", "followed_alone", "followed_unseen")
    assert [line[name] for name in told] == [2, 1, 1, 1, 0, 1]
    assert (line["moved"], line["attention"]) == (pytest.approx(0.5 / 8), pytest.approx(0.1))
    assert line["moved_by_all"] == pytest.approx((4.0 + 0.4) / 2 / 8)
    assert line["against_by_all"] == pytest.approx((4.0 + 0.0) / 2 / 8)
    (erratum,) = lines(part, "traced", place="early", source="erratum")
    assert erratum["lost_if_unseen"] == pytest.approx((4.0 + 0.4) / 2)
    without = {line["without"]: line["value"] for line in lines(part, "traced_without", place="early")}
    assert without == {"old notes and field": 0.0, "old notes and field, from the question too": 0.5}


def test_carriers_are_summed_by_kind_of_token(cases: Cases) -> None:
    tokens = [NewToken(40, "rule", 1.0), NewToken(41, "rule", 1.5), NewToken(42, "newline", 2.5)]
    one = TracedDecision(2.0, 0.0, {"new tokens": reading(-1.0, -2.0, written=4.0)}, {}, tokens)
    edits = [TracedEdit(-4.0, 4.0, {"recompute@3": one}) for _ in cases.traced]
    part = traced(measured(cases, traced=stage(cases.traced, edits)), SCORER, ("recompute@3",))
    by_kind = {line["kind"]: line for line in lines(part, "traced_tokens", place="early")}
    assert (by_kind["rule"]["value"], by_kind["rule"]["tokens"], by_kind["rule"]["most"]) == (1.5, 2.0, 1.0)
    assert by_kind["newline"]["value"] == -0.5
    (new,) = lines(part, "traced", place="early", source="new tokens")
    assert (new["value"], new["lost_if_given_back"], new["written"]) == (3.0, 4.0, 4.0)
    assert new["written_by_read_heads"] == 2.0
