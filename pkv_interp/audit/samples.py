"""The values of the cases behind a figure, where the record holds them beside it."""

import math
import statistics
from collections.abc import Iterator
from typing import Any

from pkv_interp.audit.tree import Node, number

#: Lists with one mapping a case.
CASES = ("instances", "patch_instances")
#: Outcomes of cases that lie beside their share, by the interval's key.
BESIDE = {"erratum_recovery_ci": "recov_raw"}
#: Records print three decimals: a mean is known to half a thousandth, and so are the values that it is of.
ROUNDING = 1.5e-3
#: One step of these decimals: an interval narrower than it is printed without width.
STEP = 1e-3


def sample_of(node: Node, key: str, value: float) -> tuple[float, ...] | None:
    """Values of the cases that a figure is the mean of.

    A list of cases is searched for the figure's own keys; what is found counts only if its mean is the
    figure, up to the rounding of the record, so that no figure is held against another one's cases.

    Args:
        node: the mapping that the figure stands in.
        key: of its interval.
        value: the figure.

    Returns:
        None where the record does not hold them.
    """
    for candidate in _candidates(node, key):
        values = [found for one in candidate if (found := number(one)) is not None]
        if values and abs(sum(values) / len(values) - value) <= ROUNDING:
            return tuple(values)
    return None


def usual_width(values: tuple[float, ...]) -> float:
    """Width of the plain 95 % interval of a mean, by the normal distribution; 0 for a single value."""
    if len(values) < 2:
        return 0.0
    return 2 * 1.96 * statistics.stdev(values) / math.sqrt(len(values))


def _candidates(node: Node, key: str) -> Iterator[list[Any]]:
    beside = node.mapping.get(BESIDE.get(key, ""))
    if isinstance(beside, list):
        yield beside
    root = node
    for root in node.ancestors():  # noqa: B007 (the last one is the document)
        pass
    for name in CASES:
        cases = root.mapping.get(name)
        if isinstance(cases, list):
            yield from (_looked_up(cases, steps) for steps in _steps(node, key))


def _steps(node: Node, key: str) -> Iterator[tuple[str, ...]]:
    """Keys under which a case may hold the figure: those of the figure, without words for its mean."""
    stem = key.removesuffix("_ci").removeprefix("ci_") if key not in ("ci", "rec_ci") else None
    path = [str(part) for part in node.path]
    if (head := node.mapping.get("head")) is not None and len(path) >= 2:
        # A ranked list of heads: each case holds its heads by name, under the list's first word.
        yield path[-2].partition("_")[0], str(head), "rec"
    for length in (1, 2, 3):
        steps = [_without_mean(step) for step in path[-length:]] if len(path) >= length else []
        if steps and stem is None:
            yield tuple(steps)
        if steps and stem is not None:
            yield (*steps, stem)
    if path and path[-1].endswith("_recovery"):
        yield (path[-1].removesuffix("overy"),)
    if stem is not None:
        yield (stem,)


def _without_mean(step: str) -> str:
    return step.removesuffix("_mean")


def _looked_up(cases: list[Any], steps: tuple[str, ...]) -> list[Any]:
    out = []
    for case in cases:
        for step in steps:
            case = case.get(step) if isinstance(case, dict) else None
        if case is not None:
            out += case if isinstance(case, list) else [case]
    return out
