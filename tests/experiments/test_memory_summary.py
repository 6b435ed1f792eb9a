"""From made-up answers to a report: what is stated, what is withheld and why, and how it is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from experiments.figures.rooms import drawn_by
from experiments.memory.agents import FIRST, SPLICED
from experiments.memory.measure import answers_remark
from experiments.memory.reading import FULL, Asked, PersonaRun
from experiments.memory.settings import MARGIN
from experiments.memory.summary import summarise
from experiments.memory.tables import (
    AgentLine,
    ArmLine,
    CoverageLine,
    FlipLine,
    GateLine,
    InsideLine,
    McNemarLine,
    ModelLine,
    ParityLine,
)
from pkv_interp.run.report import Report
from pkv_interp.stats.intervals import wilson_ends
from tests.experiments import made_up
from tests.experiments.memory_examples import agents, answers_of, asked, chosen, measured, reading, run_of


@pytest.fixture(scope="module")
def report() -> Report:
    return summarise(measured(), made_up.scoring(chosen()))


def lines(report: Report, kind: type) -> list[Any]:
    return [line for line in report.tables if isinstance(line, kind)]


def test_figures_are_of_the_most_relevant_settings_that_the_model_can_do(report: Report) -> None:
    stated = report.stated()
    assert stated["competence_nf1"].value == 1.0
    assert stated["competence_nf2"].value == 0.5
    assert stated["transplant_agreement"].value == 1.0
    assert stated["no_rotation_agreement"].value == 0.0
    assert stated["edit_in_place"].value == stated["edit_recompute"].value == 1.0
    assert stated["edit_erratum"].value == 0.5
    assert stated["irrelevant_flip"].value == 0.0
    assert "1 relevant" in stated["edit_in_place"].what
    assert stated["blocks2_agreement"].value == 0.5
    assert stated["agent_success"].value == 1.0
    assert stated["agent_ttft_ratio"].value == pytest.approx(2.0)
    assert stated["split_penalty"].value == 0.5
    able = summarise(measured(wrong_of_two=0), made_up.scoring(chosen()))
    assert "2 relevant" in able.stated()["edit_in_place"].what


def test_an_arm_that_is_not_competent_is_withheld_by_name(report: Report) -> None:
    gates = {(g.part, g.condition, g.relevant): g for g in lines(report, GateLine)}
    assert gates["edits", "relevant", 1].passed
    assert not gates["edits", "relevant", 2].passed
    assert gates["edits", "relevant", 2].yes == gates["edits", "relevant", 2].no == 0.5
    two = [line for line in lines(report, ArmLine) if line.relevant == 2]
    assert two
    assert all(line.agreement is None and not line.competent for line in two)
    assert all(line.relevant == 1 for line in (*lines(report, ParityLine), *lines(report, McNemarLine)))
    assert all(line.tested for line in lines(report, CoverageLine))


def test_agreement_is_nothing_where_decisions_never_vary() -> None:
    found = measured()
    always = [
        replace(
            run,
            asked=[
                Asked(
                    q.condition,
                    q.relevant,
                    True,
                    {arm: reading(True, None if arm == FULL else 0.1) for arm in q.readings},
                )
                for q in run.asked
            ],
        )
        for run in found.transplant
    ]
    report = summarise(replace(found, transplant=always), made_up.scoring(chosen()))
    assert "transplant_agreement" not in report.stated()
    (gate,) = [
        g for g in lines(report, GateLine) if (g.part, g.condition, g.relevant) == ("transplant", "late", 1)
    ]
    assert (gate.value, gate.no, gate.varied, gate.passed) == (1.0, 0.0, False, False)
    (told,) = [line for line in lines(report, CoverageLine) if line.headline == "transplant_agreement"]
    assert not told.tested
    assert "always alike" in told.why


def test_agreement_counts_only_where_the_full_prefill_is_right() -> None:
    found = measured()
    some = answers_of(("late", 1, {"spliced": "turned", "no_rotation": "yes"}), wrong=1)
    right = answers_of(("late", 1, {"spliced": "agree", "no_rotation": "yes"}))
    mixed = [some[0], *right[1:]]
    scoring = made_up.scoring(chosen())
    report = summarise(replace(found, transplant=mixed), scoring)
    (line,) = [one for one in lines(report, ArmLine) if (one.part, one.arm) == ("transplant", "spliced")]
    assert (line.agreement, line.counted, line.n) == (1.0, 18, 20)
    # The first persona is left out of agreement: there the splice is right, and the prefill is not.
    assert line.correct == 1.0


def test_what_the_records_own_gate_withholds_is_not_laid_to_the_part() -> None:
    wrong = answers_of(("late read_back", 1, {}), ("early read_back", 1, {}), wrong=10)
    report = summarise(replace(measured(), placement=wrong), made_up.scoring(chosen()))
    assert "edit_in_place" not in report.stated()
    told = {line.headline: line for line in lines(report, CoverageLine)}
    assert not any(line.tested for line in told.values())
    assert told["edit_in_place"].why == "the record's own gate failed, that of its part did not"


def test_random_weights_state_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from pkv_interp.run.scoring import Scoring

    monkeypatch.setattr(Scoring, "random_weights", property(lambda _: True))
    report = summarise(measured(), made_up.scoring(chosen()))
    assert set(report.stated()) == {"competence_nf1", "competence_nf2", "agent_ttft_ratio"}


def test_pairs_of_methods_are_tested_on_the_same_questions(report: Report) -> None:
    found = {(t.condition, t.first, t.second): t for t in lines(report, McNemarLine)}
    one = found["relevant", "in_place", "erratum"]
    # An erratum after which the answer is always yes is wrong on every second question.
    assert (one.first_alone, one.second_alone, one.n) == (10, 0, 20)
    assert one.p_value == pytest.approx(2 / 2**10)
    tests = [t for t in lines(report, McNemarLine) if t.part == "edits"]
    assert len(tests) == 6
    assert one.p_holm == pytest.approx(6 * one.p_value)
    assert found["relevant", "in_place", "recompile"].p_value == 1.0
    cut = found["referred", "after", "between"]
    assert (cut.first_alone, cut.second_alone) == (10, 0)
    alike = found["independent", "after", "between"]
    assert (alike.first_alone, alike.second_alone, alike.p_value) == (0, 0, 1.0)


def test_cuts_of_a_reference_are_tested_where_the_prefill_is_right() -> None:
    arms = {"between": "yes", "after": "agree"}
    some = replace(measured(), references=answers_of(("referred", 1, arms), wrong=1))
    tests = lines(summarise(some, made_up.scoring(chosen())), McNemarLine)
    (cut,) = [t for t in tests if t.part == "references"]
    # Of ten personas one is answered wrongly by the prefill, which a cut that says yes to all agrees with.
    assert (cut.first_alone, cut.second_alone, cut.n) == (9, 0, 18)


def test_an_arm_is_equivalent_within_the_margin_that_was_set(report: Report) -> None:
    parity = {(p.part, p.condition, p.arm): p for p in lines(report, ParityLine)}
    same = parity["transplant", "late", "spliced"]
    # No answer of ten personas differs, which is no evidence that fewer than one in twenty does.
    assert (same.equivalent, same.margin, same.value) == (False, MARGIN, 0.0)
    assert same.p_value == pytest.approx(0.95**10)
    assert (-float(same.ci_low or 0.0), same.ci_high) == (wilson_ends(0, 10, 0.95)[1],) * 2
    arms = {"spliced": True, "no_rotation": True}
    many = [
        run_of(i, [asked("late", gold, gold, {**arms, "spliced": gold}) for gold in (True, False)])
        for i in range(60)
    ]
    enough = summarise(replace(measured(), transplant=many), made_up.scoring(chosen()))
    of_many = {p.arm: p for p in lines(enough, ParityLine) if p.part == "transplant"}
    assert (of_many["spliced"].equivalent, of_many["spliced"].p_value) == (True, pytest.approx(0.95**60))
    assert not of_many["no_rotation"].equivalent
    assert not parity["edits", "relevant", "erratum"].equivalent
    assert parity["edits", "relevant", "erratum"].value == -0.5


def test_an_irrelevant_change_is_counted_against_the_decision_before_it(report: Report) -> None:
    flips = {(f.relevant, f.method): f.value for f in lines(report, FlipLine)}
    assert flips[1, "in_place"] == 0.0
    assert flips[1, "erratum"] == 1.0
    assert {method for _, method in flips} == {"in_place", "erratum", "recompile", "recompute@4"}


def test_a_model_of_accuracy_says_why_it_is_undefined(report: Report) -> None:
    (line,) = lines(report, ModelLine)
    assert line.coefficient is None
    assert line.undefined == "accuracy saturates: it is 1 where relevant is 1"


def test_an_edit_is_scaled_on_its_own_cache(report: Report) -> None:
    found = {line.method: line for line in lines(report, InsideLine)}
    assert found["in_place"].prefilled == pytest.approx(0.5)
    assert found["in_place"].spliced == pytest.approx(1.0)
    assert found["recompile"].prefilled == pytest.approx(1.0)
    assert all(line.competent for line in found.values())


def test_an_agent_that_answers_the_contrary_is_fast_and_wrong() -> None:
    report = summarise(replace(measured(), agents=agents("turned")), made_up.scoring(chosen()))
    found = {line.arm: line for line in lines(report, AgentLine)}
    assert (found[SPLICED].success, found[SPLICED].agreement) == (0.0, 0.0)
    assert found[SPLICED].times_faster == pytest.approx(2.0)
    assert found[FIRST].agreement == 1.0
    assert found[FULL].tokens == 200


def test_a_model_that_always_says_the_same_is_told_in_its_record() -> None:
    found = measured()
    assert answers_remark(found.placement, chosen()) == []
    same = [Asked("late read_back", 1, gold, {FULL: reading(True)}) for gold in (True, False)]
    runs = [PersonaRun("8-0", 8, 80, same)]
    (told,) = answers_remark(runs, chosen())
    assert told.startswith("tiny-llama answers all 2 questions with yes: this is a record of the machinery")
    varied = [Asked("late direct", 1, gold, {FULL: reading(gold)}) for gold in (True, False)]
    assert answers_remark([replace(runs[0], asked=same + varied)], chosen()) == [told]
    assert answers_remark([replace(runs[0], asked=same + varied)], chosen(read_back=False)) == []


def test_the_record_is_gated_on_the_readout_that_its_parts_use() -> None:
    wrong = answers_of(("late read_back", 1, {}), ("early read_back", 1, {}), wrong=10)
    right = answers_of(("late direct", 1, {}), ("early direct", 1, {}))
    both = [replace(a, asked=a.asked + b.asked) for a, b in zip(wrong, right, strict=True)]
    some = replace(measured(), placement=both)
    told = {how: summarise(some, made_up.scoring(chosen(read_back=how))).stated() for how in (True, False)}
    assert told[True]["competence_nf1"].value == 0.0
    assert told[False]["competence_nf1"].value == 1.0
    assert "edit_in_place" not in told[True]
    assert "edit_in_place" in told[False]


def test_values_that_are_read_back_are_counted_where_there_are_any() -> None:
    held = ((True,), (False,), (True,), ())
    said = ((True,), (True,), (True,), ())
    runs = [
        run_of(
            number,
            [
                replace(
                    asked("late", gold, gold, {"spliced": gold, "no_rotation": True}),
                    values=values,
                    readings={
                        FULL: replace(reading(gold), values=values),
                        "spliced": replace(reading(gold, 0.1), values=told),
                        "no_rotation": reading(True, 0.1),
                    },
                )
                for gold, values, told in zip((True, False, True, False), held, said, strict=True)
            ],
        )
        for number in range(2)
    ]
    report = summarise(replace(measured(), transplant=runs), made_up.scoring(chosen()))
    found = {one.arm: one.values_right for one in lines(report, ArmLine) if one.part == "transplant"}
    assert found[FULL] == 1.0
    assert found["spliced"] == pytest.approx(2 / 3)
    assert found["no_rotation"] is None


def test_rows_are_one_a_question_and_arm(report: Report) -> None:
    keys = [(row.family, row.instance, row.wording, row.arm) for row in report.rows]
    assert len(set(keys)) == len(keys)
    assert {row.extra["part"] for row in report.rows} >= {"placement", "edits", "references", "agent"}


def test_figures_show_the_lines_of_their_tables(report: Report) -> None:
    record = made_up.record("memory", report.tables)
    figures = drawn_by("memory")
    assert set(figures) == {"placement", "splicing", "editing", "blocks", "agent"}
    editing: Any = figures["editing"](record)
    bars = {bar.name: dict(zip(bar.x, bar.y, strict=True)) for bar in editing.data if bar.name}
    assert bars["1 relevant"]["the setting alone"] == 1.0
    assert bars["2 relevant (not competent)"]["erratum"] == pytest.approx(0.5)
    agent: Any = figures["agent"](record)
    seconds = {line.name: list(line.y) for line in agent.data if line.showlegend}
    assert seconds["spliced and edited"] == [1.0, 2.0]
    half = record.model_copy(update={"config": {**record.config, "edit_rate": 0.5}})
    drawn: Any = figures["agent"](half)
    assert "a setting changes before 50% of the turns" in drawn.layout.title.subtitle.text
    blocks: Any = figures["blocks"](record)
    assert list(blocks.data[0].x) == [1, 2]
    assert list(blocks.data[0].y) == [1.0, 0.5]
    for name in ("placement", "splicing"):
        drawn = figures[name](record)
        assert len(drawn.data) >= 1
