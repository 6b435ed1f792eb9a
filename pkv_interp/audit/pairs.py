"""Pairs of an old and a new side whose decision is the same on both.

Such a pair has nothing to recover: a method that agrees with the new side agrees with the old one as well,
and a recovery is a share of a gap inside one decision.
"""

from collections.abc import Iterable

from pkv_interp.audit.finding import DECISION, Checked, Finding
from pkv_interp.audit.pair_fields import PairGroup

_WHY = {
    "margins": "both margins have one sign in {kept}, so the two-way decision is the same on both sides and "
    "a recovery is a share of a gap inside one decision",
    "flag": "by the record's own flag the decision stays in {kept}, so what agrees with the new decision "
    "agrees with the old one as well",
    "count": "by the record's own count the decision does not go from old to new in {kept}",
    "names": "old and new side decide alike in {kept}, so what agrees with the new decision agrees with the "
    "old one as well",
}
#: What a pair that counts as changed does, where that is more than to change.
_CHANGE = {"count": "go from old to new"}


def check_pairs(groups: Iterable[PairGroup]) -> Checked:
    """A finding for every group with a pair whose decision is the same on both sides.

    Pairs of a control are a finding of their own that is expected.
    """
    findings: list[Finding] = []
    pairs = 0
    for group in groups:
        pairs += group.pairs
        if group.kept > group.controls:
            findings.append(_finding(group, group.kept, expected=False))
        elif group.controls:
            findings.append(_finding(group, group.controls, expected=True))
    return Checked(DECISION, pairs, tuple(findings))


def _finding(group: PairGroup, kept: int, *, expected: bool) -> Finding:
    told = f"{kept} of {group.pairs} {'pair' if group.pairs == 1 else 'pairs'}"
    why = _WHY[group.told_by].format(kept=told)
    if expected:
        why += "; no rule speaks of these fields, so they are controls and meant to stay"
    elif group.controls:
        why += f"; {group.controls} of these are of a field that no rule speaks of, and meant to stay"
    return Finding(
        record=group.record,
        field=group.field,
        kind=DECISION,
        cause=("some pairs" if group.changed else "all pairs") if not expected else "control",
        value=f"{group.changed} of {group.pairs} {_CHANGE.get(group.told_by, 'change')}",
        why=why,
        fields=kept,
        expected=expected,
    )
