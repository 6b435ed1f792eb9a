"""Personas and measurements made up by hand, and the settings of a small run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from experiments.memory.agents import ARMS, FIRST, LAST, SPLICED, AgentRun, AgentTurn, ArmTurn
from experiments.memory.measure import Measured
from experiments.memory.personas import Persona, persona
from experiments.memory.prompts import Wording
from experiments.memory.reading import FULL, Apart, Asked, PersonaRun, Reading
from experiments.memory.settings import MemorySettings
from experiments.memory.wordings import BOTH, Both, PersonaEdits
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

SIZE = 8


def settings(*overrides: str) -> MemorySettings:
    """Settings of a small run."""
    made = compose("memory", *runs.last(*runs.MEMORY, *overrides))
    assert isinstance(made, MemorySettings)
    return made


@cache
def wording() -> Wording:
    """How prompts are written for the tiny model."""
    return Wording.of(tiny("llama"), settings())


def someone(number: int = 0, size: int = SIZE) -> Persona:
    """A persona of few settings."""
    return persona(0, number, size)


def reading(yes: bool | None, kl: float | None = None, tokens: int = 0) -> Reading:
    """An answer; of the full prefill where there is no distance from it."""
    apart = None if kl is None else Apart(kl, 0.99, 0.9, True)
    return Reading(yes, 0.0 if yes is None else 2.0 if yes else -2.0, True, tokens, apart)


def asked(
    condition: str, gold: bool, full: bool, arms: Mapping[str, bool | None], relevant: int = 1
) -> Asked:
    """A question under some arms."""
    readings = {FULL: reading(full), **{arm: reading(said, 0.1, 3) for arm, said in arms.items()}}
    return Asked(condition, relevant, gold, readings)


def run_of(number: int, questions: list[Asked], size: int = SIZE) -> PersonaRun:
    """One persona's questions."""
    return PersonaRun(f"{size}-{number}", size, 10 * size, questions)


PERSONAS = 10
GOLDS = (True, False)


def answers_of(*questions: tuple[str, int, dict[str, Any]], wrong: int = 0) -> list[PersonaRun]:
    """Personas of which the first ``wrong`` are answered wrongly by the full prefill.

    Each question is a condition, a number of relevant settings, and by arm whether it decides as the full
    prefill ("agree"), the contrary ("turned"), or always says yes ("yes").
    """

    def said(how: str, full: bool) -> bool:
        return {"agree": full, "turned": not full, "yes": True}[how]

    return [
        run_of(
            number,
            [
                asked(
                    condition,
                    gold,
                    full := gold if number >= wrong else not gold,
                    {arm: said(how, full) for arm, how in arms.items()},
                    relevant,
                )
                for condition, relevant, arms in questions
                for gold in GOLDS
            ],
        )
        for number in range(PERSONAS)
    ]


def agents(spliced: str = "agree") -> list[AgentRun]:
    """Conversations in which the spliced arm is twice as fast and agrees, or says the contrary."""

    def turn(gold: bool) -> AgentTurn:
        said = gold if spliced == "agree" else not gold
        arms = {
            FULL: ArmTurn(2.0, 100, reading(gold)),
            SPLICED: ArmTurn(1.0, 20, reading(said, 0.1)),
            LAST: ArmTurn(1.5, 60, reading(gold, 0.0)),
            FIRST: ArmTurn(1.2, 50, reading(gold)),
        }
        assert set(arms) == set(ARMS)
        return AgentTurn(True, gold, arms)

    return [AgentRun(f"8-{i}", 8, [turn(True), turn(False)]) for i in range(PERSONAS)]


def both(relevant: int = 1) -> list[PersonaEdits]:
    """Edits in place reach half of the way in a prefilled memory, and all of it in a spliced one."""

    def one(number: int) -> Both:
        ends = {"stale": -2.0 - number / 10, "new": 2.0 + number / 10}
        prefilled = {**ends, **dict.fromkeys(BOTH, 0.0), "recompile": ends["new"]}
        spliced = {**ends, **dict.fromkeys(BOTH, ends["new"])}
        return Both(relevant, True, prefilled, spliced, dict.fromkeys(BOTH, 3))

    return [PersonaEdits(f"8-{i}", [one(i), one(i)]) for i in range(PERSONAS)]


def measured(wrong_of_two: int = 5) -> Measured:
    """A model that answers questions about one setting, and about two in half of the personas."""
    edits = {
        "stale": "turned",
        "in_place": "agree",
        "erratum": "yes",
        "recompile": "agree",
        "recompute@4": "agree",
    }
    idle = {
        "stale": "agree",
        "in_place": "agree",
        "erratum": "turned",
        "recompile": "agree",
        "recompute@4": "agree",
    }
    splices = {"spliced": "agree", "no_rotation": "turned", "no_memory": "yes"}

    def joined(*parts: list[PersonaRun]) -> list[PersonaRun]:
        return [
            replace(own[0], asked=[q for one in own for q in one.asked]) for own in zip(*parts, strict=True)
        ]

    def two(condition: str, arms: dict[str, str]) -> list[PersonaRun]:
        easy = answers_of((condition, 1, arms))
        return joined(easy, answers_of((condition, 2, arms), wrong=wrong_of_two))

    return Measured(
        placement=joined(two("late read_back", {}), two("early read_back", {})),
        transplant=joined(two("late", splices), two("early", splices)),
        edits=joined(two("relevant", edits), two("irrelevant", idle)),
        blocks=answers_of(("near", 1, {"blocks1": "agree", "blocks2": "yes"})),
        references=answers_of(
            ("referred", 1, {"between": "yes", "after": "agree"}),
            ("independent", 1, {"between": "agree", "after": "agree"}),
        ),
        agents=agents(),
        amounts=answers_of(("relevant", 1, {"stale": "turned", "recompute@1": "agree"})),
        wordings=answers_of(("rule if", 1, {"spliced": "agree"})),
        inside=both(),
    )


def chosen(**changes: Any) -> MemorySettings:
    return settings("relevant=[1,2]", "edit_relevant=[1,2]", "sizes=[12]", "personas=10").model_copy(
        update={"sizes": (8,), **changes}
    )
