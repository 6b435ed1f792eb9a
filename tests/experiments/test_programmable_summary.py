"""The summary of the experiment on programmable caches, on numbers with known answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from experiments.programmable.claims import parse
from experiments.programmable.closing import ClosedMargins
from experiments.programmable.conflict import ConflictMargins
from experiments.programmable.cost import ArmCost, Costs
from experiments.programmable.decoding import Decodable
from experiments.programmable.drifting import Drift
from experiments.programmable.edits import EditMargins
from experiments.programmable.figures_of import figures_of
from experiments.programmable.hops import HOPS, HopMargins
from experiments.programmable.inside import Inside
from experiments.programmable.joining import JoinCost, Joins
from experiments.programmable.measure import Measured, RoleMeasured
from experiments.programmable.mechanism import HeadMargins, PartMargins
from experiments.programmable.overlap import overlap
from experiments.programmable.settings import PREREGISTRATION, ProgrammableSettings
from experiments.programmable.splices import SpliceMargins
from experiments.programmable.summary import summarise
from experiments.programmable.tables import (
    ArmLine,
    ClaimLine,
    ConflictLine,
    CrossingLine,
    DecodableLine,
    HopLine,
    LookLine,
    PathLine,
    WithheldLine,
)
from experiments.programmable.weights import ChatLoss
from pkv_interp.measure.competence import Decision
from pkv_interp.run.report import Report
from pkv_interp.tasks import field_case
from tests import runs
from tests.experiments.configs import compose
from tests.experiments.made_up import scoring
from tests.families import tiny


def small(**changes: Any) -> ProgrammableSettings:
    made = compose("programmable", *runs.PROGRAMMABLE)
    assert isinstance(made, ProgrammableSettings)
    return made.model_copy(update=changes)


def edit(family: str, margins: dict[str, float], fillers: int = 2) -> EditMargins:
    return EditMargins(
        family, "held_out", f"{family}-{fillers}", "w", "a", "b", family == "orders", "early", fillers, 100,
        margins, dict.fromkeys(margins, 1), 0.0,
        # Of one family the old value is read back, where it is not asked for.
        {arm: "a" if family == "orders" or arm.endswith(("_old", "bystander_isolated")) else "B"
         for arm in margins if "read_" in arm},
        (True, True),
    )  # fmt: skip


def inside() -> Inside:
    """Of two field pairs: notes win from strength 0.5 on, and two rules are too many for the last block."""
    looked = {"plain": (2.0, -2.0), "isolated": (2.0, 1.0)}
    right = np.zeros((2, 4, 1, 2))
    right[0] = 1.0
    decodable = Decodable(["orders", "alerts"], [2], right, np.full_like(right, 0.5))
    closed = ClosedMargins(2.0, -2.0, {"block_field": (0.5, -0.5)}, 0.0, {"field": 0.25, "rest": 0.75})
    return Inside(
        [ConflictMargins(2.0, -2.0, mixed) for mixed in ([-2.0, 1.0, 2.0], [-2.0, -1.0, 2.0])],
        [HopMargins(looked, 0.0)] * 3,
        0.0,
        decodable,
        [closed] * 2,
    )


def role(
    isolated: float,
    shift: float,
    chat: float,
    heads: tuple[int, ...],
    *,
    fillers: int = 2,
    edits: int = 28,
) -> RoleMeasured:
    names = ("orders", "alerts", "posts", "support")
    short = {"full_old": 3.0, "full": 3.0, "full_isolated": isolated, "field_only_isolated": isolated,
             "field_only": -3.0, "full_isolated_old": 2.0, "bystander_isolated": 2.0 - shift,
             "rule_linked": 1.0, "full_rule_linked": 1.0, "read_full_old": 1.0, "read_full": 1.0,
             "read_field_only": 1.0, "read_full_isolated_old": 1.0, "read_bystander_isolated": 1.0,
             "read_field_only_isolated": isolated + 2.0}  # fmt: skip
    effects = np.zeros((2, 4))
    effects.flat[list(heads)] = 1.0
    decided = tuple(Decision("orders", "i", match, 3.0, True, True) for match in (True, False))
    parts: dict[str, float] = {}
    parts |= dict.fromkeys(("field_only", "field_only_K", "field_only_V"), -2.0) | dict.fromkeys(
        ("notes_only", "notes_only_K", "notes_only_V"), 2.0
    )
    return RoleMeasured(
        edits=[
            *(edit(n, short, fillers) for n in names),
            *(edit(n, {"full": 1.0, "field_only_isolated": isolated}, 24) for n in names),
        ],
        splices=[
            SpliceMargins(n, "held_out", n, "w", "early", 1.0, isolated, isolated, 1.0, isolated + 2.0, 0.0)
            for n in names
        ],
        drifts=[Drift(n, edits, 0.001, 2.0, True, True) for n in names],
        parts=[PartMargins(2.0, -2.0, (decided[0], decided[1]), parts) for _ in range(2)],
        heads=[HeadMargins(n, 2.0, -2.0, effects - 2.0) for n in names],
        chat=ChatLoss(chat, 16),
        inside=inside(),
    )


def made_up(trained: RoleMeasured | None, **sizes: int) -> Report:
    loaded = tiny("llama")
    world = small().world
    pairs = [field_case(f, 0, loaded.tokenizer, seed=0) for f in world.choose(["orders", "alerts"])]
    hops = [replace(pairs[0], wording=name) for name in HOPS]
    roles = {"gate": role(-1.0, 0.0, 2.0, (0, 1), **sizes)}
    if trained is not None:
        roles["programmable"] = trained
    costs = [
        Costs(
            "orders",
            100,
            {"isolated": ArmCost([20, 20], [1.0, 1.0]), "full": ArmCost([120, 120], [5.0, 5.0])},
        )
    ]
    joins = [
        Joins(name, [JoinCost(1, 100, 40, 1.0, 2.0, 2.0, 0.0), JoinCost(4, 280, 40, 1.0, 5.0, 5.0, 0.0)])
        for name in ("orders", "alerts")
    ]
    absent = ["reader", "control"] + ([] if trained is not None else ["programmable"])
    doses = {"dose step-00050": inside().conflict}
    found = Measured(
        pairs, hops, pairs, roles, absent, costs, joins, doses, PREREGISTRATION.read_text("utf-8")
    )
    return summarise(found, scoring(small(read_heads=2)))


def outcomes(report: Report) -> dict[str, str]:
    return {line.claim: line.outcome for line in report.tables if isinstance(line, ClaimLine)}


class TestSummary:
    def test_an_adapter_that_does_all_of_it_passes(self):
        report = made_up(role(2.0, 0.0, 2.02, (1, 2)))
        assert set(outcomes(report).values()) == {"passed", "not applicable"}
        assert {n for n, o in outcomes(report).items() if o == "not applicable"} == {
            "field_only_isolated_56", "isolated_gap_56", "reader_field_only",
            *(f"read_isolated_{what}{n}" for what in ("", "gap_") for n in (24, 56)),
            *(f"programmable_rule_{what}_{n}" for what in ("linked", "gap") for n in (24, 56)),
        }  # fmt: skip
        told = report.stated()
        assert told["field_only_isolated"].value == 1.0
        assert told["gate_field_only_isolated"].value == 0.0
        assert told["edit_latency_ratio"].value == 5.0
        assert told["chat_loss_ratio"].value == pytest.approx(1.01)
        assert told["circuit_jaccard_gate_programmable"].value == pytest.approx(1 / 3)
        assert told["notes_only_programmable"].value == pytest.approx(1.0)
        assert told["drift_28"].value == pytest.approx(0.001)

    def test_decisions_that_read_the_field_back_are_judged_apart(self):
        report = made_up(role(-1.0, 0.0, 2.0, (0, 1)))
        found, told = outcomes(report), report.stated()
        assert found["field_only_isolated_2"] == found["splice_gap"] == "failed"
        reading = ("read_isolated_2", "read_isolated_gap_2", "read_pattern_gap_2", "read_splice_gap_2")
        assert {found[name] for name in (*reading, "read_plain_field_2")} == {"passed"}
        assert told["field_only_isolated"].value == 0.0
        assert told["read_isolated"].value == told["read_splice_blind"].value == 1.0
        lines = {
            line.arm: line.read
            for line in report.tables
            if isinstance(line, ArmLine) and (line.role, line.fillers) == ("programmable", 2)
        }
        assert lines["full"] is None
        assert lines["read_full"] == 0.75  # of one family the old value was read
        assert lines["read_full_old"] == lines["read_bystander_isolated"] == 1.0

    def test_one_that_reads_wrong_after_a_bystander_is_told_as_turned(self):
        trained = role(2.0, 0.0, 2.0, (0, 1))
        for one in trained.edits:
            if "read_bystander_isolated" in one.margins:
                one.margins["read_bystander_isolated"] = -1.0
        assert outcomes(made_up(trained))["read_bystander_flips_2"] == "failed"

    @pytest.mark.parametrize(
        ("trained", "failed"),
        [
            (role(-1.0, 0.0, 2.0, (0, 1)), {"field_only_isolated_2", "isolated_gap_24", "splice_gap"}),
            (role(2.0, 3.0, 2.0, (0, 1)), {"bystander_flips"}),
            (role(2.0, 0.0, 2.1, (0, 1)), {"chat_loss"}),
        ],
    )
    def test_what_fails_is_told_as_failed(self, trained: RoleMeasured, failed: set[str]):
        found = outcomes(made_up(trained))
        assert failed <= {name for name, outcome in found.items() if outcome == "failed"}
        assert found["plain_accuracy"] == "passed"

    @pytest.mark.parametrize(
        ("sizes", "others"),
        [
            ({"edits": 4}, {"drift_28"}),
            (
                {"fillers": 12},
                {"bystander_flips", "splice_gap", "plain_accuracy", "field_only_isolated_2", "rule_linked_2"},
            ),
        ],
    )
    def test_criteria_of_one_size_do_not_apply_to_another(self, sizes: dict[str, int], others: set[str]):
        report = made_up(role(2.0, 0.0, 2.0, (0, 1), **sizes), **sizes)
        usual = outcomes(made_up(role(2.0, 0.0, 2.0, (0, 1))))
        assert {usual[name] for name in others} == {"passed"}
        found = outcomes(report)
        assert {found[name] for name in others} == {"not applicable"}
        withheld = {line.headline for line in report.tables if isinstance(line, WithheldLine)}
        drifts = {"drift_28", "gate_drift_28"}
        assert drifts & withheld == (drifts if "edits" in sizes else set())
        assert drifts & set(report.stated()) == (set() if "edits" in sizes else drifts)
        assert {"bystander_flips", "splice_blind", "gate_full"} <= set(report.stated())

    def test_a_reader_is_judged_at_its_size_alone(self):
        how: Any = {"seed": 0, "draws": 100}
        one, other = (role(1.0, 0.0, 1.0, (0, 1), fillers=fillers) for fillers in (2, 12))
        wanted = {c.figure for c in parse(PREREGISTRATION.read_text("utf-8")).criteria if c.role == "reader"}
        assert wanted <= set(figures_of(one, one, how))
        assert not wanted & set(figures_of(other, other, how))

    def test_four_families_without_a_difference_are_no_certain_equality(self):
        report = made_up(role(2.0, 0.0, 2.0, (0, 1)))
        gap = next(x for x in report.tables if isinstance(x, ClaimLine) and x.claim == "isolated_gap_2")
        assert (gap.value, gap.outcome, gap.certain) == (0.0, "passed", False)
        assert gap.ci_high is not None
        assert gap.ci_high > 0.03

    def test_without_the_adapter_its_criteria_do_not_apply(self):
        report = made_up(None)
        assert outcomes(report)["field_only_isolated_2"] == "not applicable"
        assert outcomes(report)["rule_linked_2"] == "passed"
        assert "field_only_isolated" not in report.stated()
        assert "gate_rule_linked" in report.stated()

    def test_overlap_is_of_the_first_heads_alone(self):
        one, same, other = (role(1.0, 0.0, 1.0, h).heads for h in ((0, 1), (1, 0), (4, 5)))
        how: Any = {"seed": 0, "draws": 100}
        assert overlap(one, same, 2, how).value == 1.0
        assert overlap(one, other, 2, how).value == 0.0


class TestInside:
    def test_what_wins_a_conflict_is_told_by_strength_and_by_dose(self):
        report = made_up(role(2.0, 0.0, 2.0, (0, 1)))
        lines = [line for line in report.tables if isinstance(line, ConflictLine)]
        assert {line.model: line.dose for line in lines} == {
            "gate": None, "programmable": None, "dose step-00050": 1,
        }  # fmt: skip
        told = [(line.strength, line.value, line.recovery) for line in lines if line.model == "gate"]
        assert told == [(0.0, 1.0, 0.0), (0.5, 0.5, pytest.approx(0.5)), (1.0, 0.0, pytest.approx(1.0))]
        crossings = [line for line in report.tables if isinstance(line, CrossingLine)]
        assert [line.strength for line in crossings] == [0.5] * 3
        assert {line.right for line in crossings} == {1.0}

    def test_hops_and_paths_are_told_against_plain_prompts(self):
        report = made_up(None)
        hops = [line for line in report.tables if isinstance(line, HopLine)]
        assert {(line.hops, line.arm): (line.value, line.kept) for line in hops} == {
            (number, arm): share
            for number in range(3)
            for arm, share in (("plain", (1.0, 1.0)), ("isolated", (0.5, 0.5)))
        }
        (path,) = [line for line in report.tables if isinstance(line, PathLine)]
        assert (path.path, path.value) == ("block_field", pytest.approx(0.25))
        looks = {line.on: line.value for line in report.tables if isinstance(line, LookLine)}
        assert looks == {"field": 0.25, "rest": 0.75}

    def test_what_is_decoded_is_told_beside_shuffled_labels(self):
        lines = [line for line in made_up(None).tables if isinstance(line, DecodableLine)]
        assert len(lines) == 8
        assert {line.pattern: line.value for line in lines} == {"plain": 1.0, "isolated": 0.0}
        assert {line.shuffled for line in lines} == {0.5}
