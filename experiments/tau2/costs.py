"""What a visit cost in one arm."""

from collections.abc import Callable

from experiments.tau2.turns import ArmTurns


def tokens_of(part: str) -> Callable[[ArmTurns], float]:
    """Tokens of a visit, by part. The opening counts in loops; else it was before the change."""
    return _of_a_loop if part == "loops" else _after_the_change


def _after_the_change(turns: ArmTurns) -> float:
    return float(turns.tokens.sum())


def _of_a_loop(turns: ArmTurns) -> float:
    return float(turns.tokens.sum()) + turns.opening


def seconds_of(part: str) -> Callable[[ArmTurns], float]:
    """Time of a visit, by part, of the same work that `tokens_of` counts."""
    return _time_of_a_loop if part == "loops" else _time_after_the_change


def _time_after_the_change(turns: ArmTurns) -> float:
    return float(turns.ms.sum())


def _time_of_a_loop(turns: ArmTurns) -> float:
    return float(turns.ms.sum()) + turns.opening_ms
