"""The support table: what is served of each architecture, from what was tried on it."""

import re
from collections.abc import Mapping, Sequence

from experiments.architectures.measure import ModelArms
from experiments.architectures.tables import ReasonLine, SupportLine
from pkv_interp.measure.reach import Tried

#: Kinds of operations as columns of the table, by the names of operations.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "append": ("full_reprefill", "erratum", "hoist", "stale", "auto", "prefix reuse", "generate"),
    "reprefill_from_field": ("suffix_recompute",),
    "edit_in_place": (
        *("field_only", "field_erratum", "recompute@all", "recompute@4", "epic@2", "cacheblend@1.0"),
        *("cacheblend@0.2", "oracle_patch@all", "oracle_patch@4"),
    ),
    "move": ("splice", "seam_repair@4", "seam_repair@all", "cacheblend_repair", "suffix_recompute@8"),
    "engine": ("packed engine",),
}
_NUMBERS = re.compile(r"\b\d+\b")


def support_lines(models: Sequence[ModelArms]) -> tuple[list[SupportLine], list[ReasonLine]]:
    """A line for each architecture, and the reasons of what is refused, numbered.

    Args:
        models: rows of the table of architectures.
    """
    numbers: dict[str, int] = {}
    told: dict[str, list[str]] = {}
    lines = []
    for model in models:
        found = {one.operation: one for one in model.tried}
        cells = {name: _cell([found[one] for one in names], numbers) for name, names in GROUPS.items()}
        for one in model.tried:
            if one.reason is not None and model.name not in told.setdefault(_plain(one.reason), []):
                told[_plain(one.reason)].append(model.name)
        errors = [one.error for one in model.tried if one.error is not None]
        lines.append(
            SupportLine(
                architecture=model.name,
                cache=model.special,
                layers="; ".join(model.layers),
                exact=sum(one.exact for one in model.tried),
                refused=sum(one.reason is not None for one in model.tried),
                largest_error=max(errors, default=None),
                **cells,
            )
        )
    reasons = [ReasonLine(at, reason, ", ".join(told[reason])) for reason, at in numbers.items()]
    return lines, reasons


def _plain(reason: str) -> str:
    """A reason without the numbers of the one case that it was told of."""
    return _NUMBERS.sub("N", reason)


def _cell(tried: Sequence[Tried], numbers: dict[str, int]) -> str:
    """What is said of several operations: exact, refused, or which of them; reasons by number."""
    refused = {one.operation: one.reason for one in tried if one.reason is not None}
    for reason in refused.values():
        numbers.setdefault(_plain(reason), len(numbers) + 1)
    wrong = [one.operation for one in tried if one.reason is None and not one.exact]
    if wrong:
        return f"wrong: {', '.join(wrong)}"
    if not refused:
        return "exact"
    marks = ", ".join(str(n) for n in sorted({numbers[_plain(reason)] for reason in refused.values()}))
    if len(refused) == len(tried):
        return f"refused ({marks})"
    return f"exact but {', '.join(refused)} ({marks})"
