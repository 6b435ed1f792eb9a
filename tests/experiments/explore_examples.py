"""An explorer on the tiny model, and states that tests of it share."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from experiments.explore.desk import Answer, Ready
from experiments.explore.explorer import Explorer
from experiments.explore.settings import ExploreSettings
from experiments.explore.state import Own, Scenario
from tests import families

T = TypeVar("T")
#: Seconds that any answer of the tiny model is waited for.
PATIENCE = 240.0
SCENARIO = Scenario(family="orders", fillers=1)
OWN = Own(
    system="You handle orders.",
    context="order status: [[order status: pending | shipped]]\nIf the order status is pending, cancel. "
    "Otherwise deny.",
    question="Cancel or deny?",
    actions=("cancel", "deny"),
)


@cache
def explorer() -> Explorer:
    """Of the tiny model; it is only asked."""
    return Explorer(families.tiny("llama"), ExploreSettings.model_validate({"model": "tiny-llama"}))


def value(answer: Answer[T]) -> T:
    """What was computed."""
    assert isinstance(answer, Ready), answer
    return answer.value
