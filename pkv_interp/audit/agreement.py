"""Agreement with a reference that is right nowhere: two arms that are both wrong agree as well."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pkv_interp.audit.document import Record
from pkv_interp.audit.finding import AGREEMENT, Checked, Finding, plain
from pkv_interp.audit.tree import Node, share, walk

_AGREEMENT = re.compile(r"(\w+_)?(agree|agreement)(_rate)?")
#: Accuracy of the arm that agreement is with.
REFERENCE = ("full_acc", "full_correct", "full", "full_at_B", "oracle_correct", "oracle_acc")


@dataclass(frozen=True, eq=False)
class _Agreement:
    node: Node
    key: str
    value: float
    accuracy: float


def check_agreement(record: Record) -> Checked:
    """A finding for every agreement above 0 beside a reference whose accuracy is 0.

    Entries of a list (turns, for example) are one finding that counts them.
    """
    found = [one for node in walk(record.document) for one in _agreements(node)]
    groups: dict[str, list[_Agreement]] = {}
    for one in found:
        group = one.node.in_list()
        pointer = one.node.below(one.key).pointer if group is None else group.pointer
        groups.setdefault(pointer, []).append(one)
    findings = [
        _finding(record, pointer, group, empty)
        for pointer, group in groups.items()
        if (empty := [one for one in group if one.accuracy == 0.0 and one.value > 0.0])
    ]
    return Checked(AGREEMENT, len(found), tuple(findings))


def _agreements(node: Node) -> Iterator[_Agreement]:
    reference = next((key for key in REFERENCE if share(node.mapping.get(key)) is not None), None)
    if reference is None:
        return
    accuracy = share(node.mapping[reference])
    for key, value in node.mapping.items():
        agreement = share(value)
        if _AGREEMENT.fullmatch(key) and agreement is not None and accuracy is not None:
            yield _Agreement(node, key, agreement, accuracy)


def _finding(record: Record, pointer: str, group: list[_Agreement], empty: list[_Agreement]) -> Finding:
    if len(group) == 1:
        value = f"agreement {plain(empty[0].value)} at accuracy 0"
        where = "the reference is right in no case"
    else:
        value = f"{len(empty)} of {len(group)} entries at accuracy 0"
        where = f"in {len(empty)} of {len(group)} entries the reference is right in no case"
    return Finding(
        record=record.name,
        field=pointer,
        kind=AGREEMENT,
        cause="one figure" if len(group) == 1 else "entries of a list",
        value=value,
        why=f"{where}, so whatever agrees with it there is wrong as well",
        fields=len(empty),
    )
