"""The random choices of one instance, from a seed that is the same in every process."""

from dataclasses import dataclass

import numpy as np

from pkv_interp.tasks.scenarios import Family, Scenarios, default_scenarios


@dataclass(frozen=True)
class Draw:
    """The random choices of one instance, shared by both prompts of its pair."""

    record: str
    bystanders: tuple[str, str]
    fillers: tuple[str, ...]
    actions: tuple[str, str]
    menu: tuple[str, str]


def draw(
    family: Family, rng: np.random.Generator, n_fillers: int, scenarios: Scenarios | None = None
) -> Draw:
    """Draw record number, bystander fields, fillers and action order of one instance.

    Args:
        family: whose actions are put in order.
        rng: advanced by the draws.
        n_fillers: how many fillers; none stands twice before all have stood once.
        scenarios: whose bystanders and fillers are drawn from; the packaged ones when None.
    """
    known = scenarios or default_scenarios()
    letter = "ABCDEFGHKLMNPRSTUVWXYZ"[int(rng.integers(22))]
    bystanders = list(known.bystanders.items())
    picked = [bystanders[int(i)] for i in rng.permutation(len(bystanders))[:2]]
    lines = tuple(f"{name}: {options[int(rng.integers(len(options)))]}" for name, options in picked)
    fillers = tuple(known.fillers[int(i)] for i in _cycle(rng, n_fillers, len(known.fillers)))
    first = int(rng.integers(2))
    menu = int(rng.integers(2))
    return Draw(
        f"{letter}{int(rng.integers(1000, 10000))}",
        (lines[0], lines[1]),
        fillers,
        (family.actions[first], family.actions[1 - first]),
        (family.actions[menu], family.actions[1 - menu]),
    )


def _cycle(rng: np.random.Generator, n: int, size: int) -> list[int]:
    order: list[int] = []
    while len(order) < n:
        order.extend(int(i) for i in rng.permutation(size))
    return order[:n]
