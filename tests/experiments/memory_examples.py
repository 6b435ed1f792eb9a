"""Personas and measurements made up by hand, and the settings of a small run."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from experiments.memory.personas import Persona, persona
from experiments.memory.prompts import Wording
from experiments.memory.reading import FULL, Apart, Asked, PersonaRun, Reading
from experiments.memory.settings import MemorySettings
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
