"""What the audit found of the published records that a column of figures comes from."""

from collections.abc import Iterable
from textwrap import wrap
from typing import Any

from pkv_interp.records import RunRecord
from pkv_interp.records.published import Figure

_WIDTH = 120


def unchanged_pairs(audit: RunRecord) -> dict[str, str]:
    """Published records without a pair whose decision changes, by file name, as "0 of 36".

    Pairs that are meant to stay as they are (controls) are not counted.
    """
    pairs: dict[str, int] = {}
    changed: set[str] = set()
    lines: list[dict[str, Any]] = audit.tables["pairs"]
    for line in lines:
        record = line["record"]
        pairs[record] = pairs.get(record, 0) + line["pairs"] - line["controls"]
        if line["changed"]:
            changed.add(record)
    return {record: f"0 of {n}" for record, n in pairs.items() if n and record not in changed}


def remark(figures: Iterable[Figure], audit: RunRecord) -> str:
    """Paragraphs under a table: which published figures are of pairs that never change their decision.

    Args:
        figures: those that the table shows, in its order.
        audit: record of the experiment that read the published records.

    Returns:
        A paragraph for each model that has such figures, after an empty line; "" where there are none.
    """
    unchanged = unchanged_pairs(audit)
    by_model: dict[str, dict[str, list[str | None]]] = {}
    for figure in figures:
        count = unchanged.get(figure.source.rpartition(", ")[2])
        by_model.setdefault(figure.model, {}).setdefault(figure.headline, []).append(count)
    return "".join(_paragraph(model, by_headline) for model, by_headline in by_model.items())


def _paragraph(model: str, by_headline: dict[str, list[str | None]]) -> str:
    """What is found of a model's figures: by headline a count for each of them, None for no finding."""
    by_count: dict[str, list[str]] = {}
    for headline, counts in by_headline.items():
        for count in dict.fromkeys(filter(None, counts)):
            partly = "" if set(counts) == {count} else " in part"
            by_count.setdefault(count, []).append(f"`{headline}`{partly}")
    if not by_count:
        return ""
    parts = "; ".join(f"{', '.join(names)} ({count})" for count, names in by_count.items())
    text = f"{model}: no pair goes from the old decision to the new one (docs/audit.md) behind {parts}."
    return "\n\n" + "\n".join(wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False))
