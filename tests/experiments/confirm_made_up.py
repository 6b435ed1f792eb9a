"""Made-up measurements of the confirmatory run, in which every claim can be made to pass and to fail."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import yaml

from experiments.confirm.about import About, right_on_both
from experiments.confirm.edits import ATTENDED, OTHER, RECOMPUTED, TAGGED, EditScores
from experiments.confirm.episodes import ArmTurns, EpisodeScores
from experiments.confirm.found import Chosen, Measured, Scores
from experiments.confirm.pairs import RANDOM, TOP, PairScores, ReadHeads
from experiments.confirm.probing import Probes
from experiments.confirm.quads import Labels, QuadScores
from experiments.confirm.screening import Tried, Tries
from experiments.confirm.settings import PREREGISTRATION, ConfirmSettings
from experiments.confirm.splices import SpliceScores
from experiments.confirm.summary import summarise
from experiments.confirm.tables import ClaimLine
from pkv_interp.measure.competence import Decision
from pkv_interp.run.preregistration_file import parse
from pkv_interp.run.report import Report
from tests.experiments import made_up

FAMILIES = tuple(f"family{i}" for i in range(8))
MODEL = "smollm2-135m-gate"
#: Figures with which every claim passes: recoveries, shares, depths, differences and ratios.
GOOD: dict[str, float] = {
    "field_only": 0.0,
    "notes_only": 1.0,
    TOP: 0.8,
    RANDOM: 0.0,
    ATTENDED: 1.0,
    RECOMPUTED: 1.0,
    TAGGED: 1.0,
    OTHER: 1.0,
    "write_before_read": 0.5,
    "scrub_note": 0.8,
    "scrub_rest": 0.02,
    "scrub_same": 0.0,
    "moved_rule": 1.0,
    "moved_rule_blind": 0.5,
    "unified_success": -0.25,
    "unified_speed": 1.2,
}
#: Figures with which every claim about the untrained model of 1.5 billion weights passes.
READS_THE_FIELD = {"field_only": 0.7, "notes_only": 0.2, TOP: 0.9, RANDOM: -0.13}
#: For each, a figure with which it fails.
BAD: dict[str, float] = {
    "field_only": 0.3,
    "notes_only": 0.7,
    TOP: 0.4,
    RANDOM: 0.2,
    ATTENDED: 0.5,
    RECOMPUTED: 0.5,
    TAGGED: 0.5,
    OTHER: 0.5,
    "write_before_read": 0.0,
    "scrub_note": 0.3,
    "scrub_rest": 0.25,
    "scrub_same": -0.2,
    "moved_rule": 0.5,
    "moved_rule_blind": 1.0,
    "unified_success": 0.25,
    "unified_speed": 1.8,
}
TURNS = 4


@dataclass(frozen=True)
class World:
    """What is made up.

    Attributes:
        figures: by claim.
        wrong: parts in which the model is wrong on one side of every pair of some families, by their number.
        spread: by how much figures of recovery differ between families, up and down.
        families: of all parts.
    """

    figures: dict[str, float]
    wrong: dict[str, int] = field(default_factory=dict)
    spread: float = 0.0
    families: tuple[str, ...] = FAMILIES


def plan_text(**changes: Any) -> str:
    """The packaged preregistration with entries changed."""
    return yaml.safe_dump(yaml.safe_load(PREREGISTRATION.read_text()) | changes)


def measured(world: World, text: str | None = None, model: str = MODEL) -> Measured:
    """All that a run would have measured."""
    at, names = world.figures, world.families
    plan = parse(plan_text() if text is None else text)
    entry = plan.model(model)
    heads = {"field pairs": (), "polarity pairs": (TOP, RANDOM)}
    if entry.flip == "field":
        heads = {"field pairs": (TOP, RANDOM)}

    def decided(part: str, family: str, pairs: int = 1) -> list[Decision]:
        bad = names.index(family) < world.wrong.get(part, 0)
        right = [not (bad and i % 2) for i in range(2 * pairs)]
        return [
            Decision(family, f"{family}-{i}", i % 2 == 0, 1.0 if good else -1.0, good, good)
            for i, good in enumerate(right)
        ]

    def about(family: str, number: int = 0) -> About:
        return About(family, f"{family}-{number}", "when", "plain")

    def near(value: float, family: str) -> float:
        return value + world.spread * (1 if names.index(family) % 2 else -1)

    def pair(part: str, family: str, arms: tuple[str, ...], number: int = 0) -> PairScores:
        margins = {arm: -2.0 + 4.0 * near(at[arm], family) for arm in arms} | {"full_patch": 2.0}
        return PairScores(about(family, number), decided(part, family), 2.0, -2.0, margins)

    def quad(family: str) -> QuadScores:
        shifts = {name: 4.0 * near(at[name], family) for name in ("scrub_note", "scrub_rest", "scrub_same")}
        moved = {name: (shift, shift) for name, shift in shifts.items()}
        return QuadScores(
            about(family), decided("quads", family, 2), 2.0, -2.0, moved, 3, 0.5 + at["write_before_read"]
        )

    def edit(family: str, number: int) -> EditScores:
        arms = {
            arm: 1.0 if share_of(at[arm], number) else -1.0 for arm in (ATTENDED, RECOMPUTED, TAGGED, OTHER)
        }
        return EditScores(about(family, number), decided("edits", family), arms, True, 0.0, 0.0, True)

    def splice(part: str, name: str, family: str) -> SpliceScores:
        alike = at[name] == 1.0
        return SpliceScores(about(family), decided(part, family), (1.0, -1.0), (1.0, -1.0 if alike else 1.0))

    def episode(family: str) -> EpisodeScores:
        lost = round(at["unified_success"] * TURNS)
        right = {"full": TURNS, "prefix_cache": TURNS - max(lost, 0), "unified": TURNS + min(lost, 0)}
        ms = {"full": 100.0, "prefix_cache": 40.0, "unified": 40.0 / at["unified_speed"]}
        arms = {
            arm: ArmTurns(np.arange(TURNS) < right[arm], np.full(TURNS, 9, np.int64), np.full(TURNS, ms[arm]))
            for arm in right
        }
        return EpisodeScores(about(family), decided("episodes", family, 2), arms, 0.0, 0.0, 1.0, 1.0)

    rise = np.tile(np.array([0.0, 0.5, 0.5, 0.5]), (len(names), 1))
    field_arms = ("field_only", "notes_only", *heads["field pairs"])
    polar = heads.get("polarity pairs", ())
    scores = Scores(
        field=[pair("field pairs", f, field_arms, i) for f in names for i in range(2)],
        polarity=[pair("polarity pairs", f, polar, i) for f in names for i in range(2) if polar],
        quads=[quad(f) for f in names],
        probes=Probes([1, 2, 3, 4], rise, np.zeros_like(rise)),
        edits=[edit(f, i) for f in names for i in range(2)],
        moved_late=[splice("policy before the field", "moved_rule", f) for f in names],
        moved=[splice("policy after the field", "moved_rule_blind", f) for f in names],
        episodes=[episode(f) for f in names],
    )
    kinds = {"field": "field pairs", "polarity": "polarity pairs", "quads": "quads"}
    if not entry.screened:
        del kinds["quads"]
    tried = {
        kind: Tries(
            [Tried(about(f), "confirm", decided(part, f, 1 + (kind == "quads"))) for f in names],
            1 if entry.screened else None,
        )
        for kind, part in kinds.items()
        if part in heads or kind == "quads"
    }
    if entry.screened:
        used = {
            part: [one for one in getattr(scores, part) if right_on_both(one.decisions)]
            for part in ("field", "quads", "edits")
        }
        curves = np.zeros_like(rise[: len(used["quads"])])
        scores = replace(scores, **used, probes=Probes([1, 2, 3, 4], rise[: len(curves)], curves))
    return Measured(
        plan_text() if text is None else text,
        {"preregistration": "a" * 64, "scenarios": "b" * 64, "commit": None},
        model,
        tried,
        {},
        Chosen(
            ReadHeads([(0, 1)], [[(0, 2)]]), Labels(["action.last"], ["action.last"]), {"action.last": 0.1}
        ),
        scores,
    )


def share_of(share: float, number: int) -> bool:
    """Whether one of two instances is right, so that the share comes out as 0, 0.5 or 1."""
    return share == 1.0 or (share == 0.5 and number % 2 == 0)


def report(world: World, text: str | None = None, model: str = MODEL) -> Report:
    """The report of a made-up run on a trained model."""
    return summarise(measured(world, text, model), made_up.scoring(ConfirmSettings()))


def lines(made: Report) -> dict[str, ClaimLine]:
    """Claims by name."""
    return {line.claim: line for line in made.tables if isinstance(line, ClaimLine)}


def without_scores(found: Measured) -> Measured:
    """As where the model follows no rule."""
    return replace(found, chosen=None, scores=None)
