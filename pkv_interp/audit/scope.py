"""How many cases a figure rests on, as far as the record says so."""

from collections.abc import Iterator
from typing import Any

from pkv_interp.audit.tree import Node, count, is_case_list, number

#: Counts of cases, whatever they are of.
GENERAL = (
    "n",
    "N",
    "n_instances",
    "n_samples",
    "n_trials",
    "n_decisions",
    "n_tasks",
    "n_domains",
    "n_sessions",
    "n_orders",
    "n_conv",
    "n_steps",
    "decisions",
    "trajectories",
    "tasks",
    "turns",
)
#: Lists with one entry a case.
CASES = ("instances", "patch_instances", "per_domain", "per_task")
#: Mappings from an outcome to how often it came about, and lists of outcomes.
OUTCOMES = ("dist", "actions", "recov_raw")


def sample_size(figure: Node) -> int | None:
    """How many cases a figure rests on.

    The nearest count in or above the figure's own mapping is taken. That may be a count of something coarser
    than the figure's cases, so a figure that has one counts as told.

    Args:
        figure: the node of the figure, or of the mapping that it is in.

    Returns:
        None where the record has no count in reach.
    """
    words = [str(part) for part in figure.path]
    for node in (figure, *figure.ancestors()):
        for found in _counts(node.mapping, words):
            return found
    # A figure over several arms, each with a count of its own.
    arms = figure.above.mapping.values() if figure.above is not None else ()
    return next((found for arm in arms if isinstance(arm, dict) for found in _general(arm)), None)


def _general(mapping: dict[str, Any]) -> Iterator[int]:
    for name in GENERAL:
        if (found := count(mapping.get(name))) is not None:
            yield found


def _counts(mapping: dict[str, Any], words: list[str]) -> Iterator[int]:
    yield from _general(mapping)
    for name, value in mapping.items():
        found = count(value)
        if found is not None and isinstance(value, int) and _is_about(name, words):
            yield found
    for name in OUTCOMES:
        if (found := _total(mapping.get(name))) is not None:
            yield found
    for name in CASES:
        cases = mapping.get(name)
        if isinstance(cases, list | dict) and cases:
            yield len(cases)


def _is_about(name: str, words: list[str]) -> bool:
    """Whether a count like ``n_probe_samples`` or ``reasoning_n`` is of a figure under that word."""
    if name.startswith("n_"):
        word = name.removeprefix("n_").removesuffix("_samples")
    elif name.endswith("_n"):
        word = name.removesuffix("_n")
    else:
        return False
    # Whole steps of the path, or the beginning of a key: "reasoning" is not about "non_reasoning".
    return any(step == word or step.startswith(f"{word}_") for step in words)


def _total(outcomes: Any) -> int | None:
    if isinstance(outcomes, list):
        return len(outcomes) or None
    if not isinstance(outcomes, dict):
        return None
    counts = [number(value) for value in outcomes.values()]
    return int(sum(one for one in counts if one is not None)) or None


def in_cases(figure: Node) -> bool:
    """Whether a figure belongs to a single case: it lies in a list or a mapping with one entry a case."""
    for node in (figure, *figure.ancestors()):
        if node.above is None:
            return False
        if node.path[-1] in CASES or node.path[-1] in ("reps", "steps", "reasoning_samples"):
            return True
        if node.above.above is None and is_case_list(node.above):
            return True
    return False
