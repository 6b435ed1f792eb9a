"""Pairs of an old and a new side as they stand in records: margins, flags, counts or decisions by name."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pkv_interp.audit.document import Record
from pkv_interp.audit.tree import Node, count, number, walk

#: Names of the two margins of a pair, in logits; the sign of a margin is the two-way decision.
MARGINS = (("s_old", "s_new"), ("s_base", "s_src"), ("s_un", "s_sa"))
#: A flag of one pair, and a list of them, which say whether the decision has changed.
FLAG, FLAGS = "decision_changed", "oracle_changed_per_step"
#: How many of how many pairs change their decision, as a record counts them.
COUNTED = (("clean_flips", "n_instances"), ("discriminating_trials", "n_trials"))
#: Names under which the decisions of both sides stand, without what is added in brackets.
NAMED = (
    ("stale", "oracle"),
    ("stale_full", "oracle_new"),
    ("oracle_old", "oracle_new"),
    ("old_decision", "oracle"),
    ("decision_before_edit", "decision_full_reprefill"),
)
#: Class of a field that no rule speaks of: its pairs are controls, and are meant to stay as they are.
CONTROL = "low"


@dataclass(frozen=True)
class PairGroup:
    """Pairs that stand together in a record.

    Attributes:
        record, field: where they are.
        told_by: "margins", "flag", "count" or "names": how the record says what was decided.
        pairs: how many there are.
        kept: how many have the same decision on both sides.
        controls: how many of those are of a field that no rule speaks of.
    """

    record: str
    field: str
    told_by: str
    pairs: int
    kept: int
    controls: int = 0

    @property
    def changed(self) -> int:
        """How many pairs change their decision."""
        return self.pairs - self.kept


@dataclass(frozen=True)
class _Pair:
    """One pair: the node that it is counted under, how it is told, whether it keeps its decision."""

    group: Node
    told_by: str
    kept: bool
    control: bool = False


def control_fields(records: Iterable[Record]) -> frozenset[str]:
    """Names of fields that no rule speaks of, by the records that say so: others may leave it out."""
    named = [node.mapping for record in records for node in walk(record.document) if "cls" in node.mapping]
    return frozenset(
        one[key]
        for one in named
        for key in ("field", "scenario")
        if one["cls"] == CONTROL and isinstance(one.get(key), str)
    )


def pair_groups(record: Record, controls: Collection[str] = ()) -> tuple[PairGroup, ...]:
    """All pairs of a record, in the groups in which they stand there.

    Args:
        record: to look at.
        controls: names of fields that no rule speaks of.
    """
    found: dict[tuple[str, str], list[_Pair]] = {}
    counted: list[PairGroup] = []
    for node in walk(record.document):
        for pair in _pairs(node, controls):
            found.setdefault((pair.group.pointer, pair.told_by), []).append(pair)
        counted += _counted(record.name, node)
    groups = [
        PairGroup(
            record=record.name,
            field=field,
            told_by=told_by,
            pairs=len(pairs),
            kept=sum(pair.kept for pair in pairs),
            controls=sum(pair.kept and pair.control for pair in pairs),
        )
        for (field, told_by), pairs in found.items()
    ]
    return (*groups, *counted)


def _pairs(node: Node, controls: Collection[str]) -> Iterator[_Pair]:
    inner = node.mapping
    if not inner:
        return
    group = node.in_list() or node
    for first, second in MARGINS:
        old, new = number(inner.get(first)), number(inner.get(second))
        if old is not None and new is not None:
            # A margin of exactly 0 decides nothing, and counts as a change so that no pair is accused of it.
            yield _Pair(group, "margins", old * new > 0)
    if isinstance(inner.get(FLAG), bool):
        yield _Pair(group, "flag", not inner[FLAG], _is_control(node, controls))
    elif isinstance(inner.get(FLAGS), list):
        flags = [one for one in inner[FLAGS] if isinstance(one, bool)]
        control = _is_control(node, controls)
        yield from (_Pair(node.below(FLAGS), "flag", not one, control) for one in flags)
    elif not any(FLAG in above.mapping or FLAGS in above.mapping for above in node.ancestors()):
        yield from _named(node, group, controls)


def _named(node: Node, group: Node, controls: Collection[str]) -> Iterator[_Pair]:
    decisions = {_bare(key): found for key, value in node.mapping.items() if (found := _decision(value))}
    for old, new in NAMED:
        if old in decisions and new in decisions:
            yield _Pair(group, "names", decisions[old] == decisions[new], _is_control(node, controls))
            return


def _bare(key: str) -> str:
    return key.partition("(")[0].strip()


def _decision(value: Any) -> str | None:
    """The decision that a field names, None where it names none: a share, an answer that never came."""
    if isinstance(value, dict):
        value = next((value[key] for key in ("argmax", "tool") if key in value), None)
    if not isinstance(value, str) or re.fullmatch(r"\d+\s*/\s*\d+", value):
        return None
    return _bare(value) or None


def _is_control(node: Node, controls: Collection[str]) -> bool:
    above = [one.mapping for one in (node, *node.ancestors())]
    told = next((one["cls"] for one in above if isinstance(one.get("cls"), str)), None)
    if told is not None:
        return told == CONTROL
    field = next((one["field"] for one in above if isinstance(one.get("field"), str)), None)
    return field in controls


def _counted(record: str, node: Node) -> Iterator[PairGroup]:
    for changed, total in COUNTED:
        found, of = number(node.mapping.get(changed)), count(node.mapping.get(total))
        if found is not None and of is not None and 0 <= found <= of:
            field = node.below(changed).pointer
            yield PairGroup(record, field, "count", pairs=of, kept=of - int(found))
