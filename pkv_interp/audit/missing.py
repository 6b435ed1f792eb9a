"""Figures without the number of cases that they rest on."""

import re
from collections.abc import Iterator, Sequence

from pkv_interp.audit.document import Record
from pkv_interp.audit.fields import intervals, is_share
from pkv_interp.audit.finding import MISSING, Checked, Finding
from pkv_interp.audit.scope import in_cases, sample_size
from pkv_interp.audit.tree import Node, number, walk

INTERVAL, SHARE, TIME = "interval", "share or mean", "time"
#: Means that are named so; a name that ends in a number says itself over how many.
_MEAN = re.compile(r"mean_\w*[^\W\d]|\w+_mean")
#: Times in milliseconds, and what is computed of them.
_TIME = re.compile(r"(\w+_)?ms|(\w+_)?speedup(_\w+)?")

_WHY = {
    INTERVAL: "has an interval, and the record does not say over how many cases",
    SHARE: "is a share or a mean, and the record does not say of how many cases",
    TIME: "is a time or a ratio of times, and the record does not say over how many runs",
}


def check_missing(record: Record) -> Checked:
    """One finding for each sort of figure of which some have no count in reach.

    Sorts are intervals, shares and means, and times. Figures of a single case need no count.
    """
    figures = list(_figures(record))
    findings = []
    for sort in (INTERVAL, SHARE, TIME):
        without = [node for node, kind in figures if kind == sort and sample_size(node) is None]
        if without:
            findings.append(_finding(record, sort, without))
    return Checked(MISSING, len(figures), tuple(findings))


def _figures(record: Record) -> Iterator[tuple[Node, str]]:
    seen: set[str] = set()
    for one in intervals(record.document):
        node = one.node.below(one.name) if one.name in one.node.mapping else one.node
        if node.pointer not in seen:
            yield node, INTERVAL
        # The ends of an interval are no figures of their own.
        seen |= {node.pointer, one.field, f"{one.field}/0", f"{one.field}/1"}
    for node in walk(record.document):
        if number(node.value) is None or node.pointer in seen:
            continue
        if _TIME.fullmatch(node.name):
            yield node, TIME
        elif not in_cases(node) and (is_share(node.name) or _MEAN.fullmatch(node.name)):
            yield node, SHARE


def _finding(record: Record, sort: str, without: Sequence[Node]) -> Finding:
    first = without[0].pointer
    others = f" (first {first})" if len(without) > 1 else ""
    return Finding(
        record=record.name,
        field=_common(without),
        kind=MISSING,
        cause=sort,
        value=f"{len(without)} {'figure' if len(without) == 1 else 'figures'}{others}",
        why=f"{first} {_WHY[sort]}",
        fields=len(without),
    )


def _common(nodes: Sequence[Node]) -> str:
    """Pointer to what all of these are in."""
    paths = [node.path for node in nodes]
    shared: list[str | int] = []
    for steps in zip(*paths, strict=False):
        if len(set(steps)) > 1:
            break
        shared.append(steps[0])
    return Node(tuple(shared), None, None).pointer
