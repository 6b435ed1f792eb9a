"""From findings to counts by kind, by record and by experiment."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from experiments.audit.groups import group_of
from experiments.audit.measure import Measured
from experiments.audit.settings import AuditSettings
from experiments.audit.tables import (
    CasesLine,
    CauseLine,
    FindingLine,
    GroupLine,
    KindLine,
    PairLine,
    RecordLine,
    UnreadLine,
)
from pkv_interp.audit import KINDS, Audited, Finding
from pkv_interp.run.report import NOT_NEGATIVE, Headline, Report
from pkv_interp.stats import Estimate

if TYPE_CHECKING:
    from pkv_interp.run.sitting import Facts


def summarise(found: Measured, facts: "Facts[AuditSettings]") -> Report:  # noqa: ARG001 (as every summary)
    """Counts of findings, and every finding as a line."""
    findings = [finding for one in found.audited for finding in one.findings]
    unread = _not_judged(found)
    return Report(
        headlines=_headlines(found, findings, unread),
        tables=[
            *(_kind(kind, found.audited, findings) for kind in KINDS),
            *_causes(findings),
            *_by_record(found.audited),
            *_groups(found.audited),
            *_pairs(found.audited),
            *_by_cases(found.audited),
            *unread,
            *(FindingLine(**asdict(finding)) for finding in findings),
        ],
        rows=[],
    )


def _headlines(found: Measured, findings: Sequence[Finding], unread: Sequence[UnreadLine]) -> list[Headline]:
    counted = _counted(findings)
    expected = len(findings) - len(counted)
    with_findings = len({finding.record for finding in counted})
    values = {
        "records": (len(found.audited), "records that were read"),
        "findings": (len(counted), "findings in them, expected ones left out"),
        "records_with_findings": (with_findings, "records with one or more of these"),
        "expected": (expected, "findings that follow from how a quantity is made"),
        "not_judged": (len(unread), "files that are no record, or have no field to judge"),
    }
    return [
        Headline(name, _count(value, len(found.audited)), what, needs_gate=False, bounds=NOT_NEGATIVE)
        for name, (value, what) in values.items()
    ]


def _count(value: int, records: int) -> Estimate:
    """A count over the whole folder: it is no sample, so it has no interval."""
    return Estimate(value=value, n_families=1, n_instances=records)


def _counted(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if not finding.expected]


def _records(findings: Iterable[Finding]) -> int:
    return len({finding.record for finding in findings})


def _fields(findings: Iterable[Finding]) -> int:
    return sum(finding.fields for finding in findings)


def _kind(kind: str, audited: Sequence[Audited], findings: Sequence[Finding]) -> KindLine:
    mine = [finding for finding in findings if finding.kind == kind]
    counted = _counted(mine)
    looked_at = sum(one.looked_at for record in audited for one in record.checked if one.kind == kind)
    return KindLine(
        kind=kind,
        looked_at=looked_at,
        records=_records(counted),
        findings=len(counted),
        fields=_fields(counted),
        expected=len(mine) - len(counted),
        what=KINDS[kind],
    )


def _causes(findings: Sequence[Finding]) -> list[CauseLine]:
    order = list(KINDS)

    def sort(finding: Finding) -> tuple[int, bool, str, str]:
        return order.index(finding.kind), finding.expected, finding.cause, finding.basis

    lines = []
    for (place, expected, cause, basis), group in groupby(sorted(findings, key=sort), key=sort):
        mine = list(group)
        lines.append(
            CauseLine(order[place], cause, basis, expected, _records(mine), len(mine), _fields(mine))
        )
    return lines


def _by_record(audited: Sequence[Audited]) -> list[RecordLine]:
    lines = []
    for one in audited:
        sorts: dict[tuple[str, str, bool], list[Finding]] = {}
        for finding in one.findings:
            sorts.setdefault((finding.kind, finding.cause, finding.expected), []).append(finding)
        lines += [
            RecordLine(
                record=one.record,
                model=one.model,
                kind=kind,
                cause=cause,
                expected=expected,
                findings=len(mine),
                fields=_fields(mine),
                first=mine[0].field,
            )
            for (kind, cause, expected), mine in sorts.items()
        ]
    return lines


def _groups(audited: Sequence[Audited]) -> list[GroupLine]:
    """Experiments with any finding, by kind; those without one have no line."""
    groups: dict[str, list[Audited]] = {}
    for one in audited:
        groups.setdefault(group_of(one.record), []).append(one)
    lines = []
    for group, members in groups.items():
        kinds = [{finding.kind for finding in _counted(one.findings)} for one in members]
        if any(kinds):
            lines += [
                GroupLine(group, kind, len(members), sum(kind in mine for mine in kinds)) for kind in KINDS
            ]
    return lines


def _pairs(audited: Sequence[Audited]) -> list[PairLine]:
    return [
        PairLine(
            record=one.record,
            model=one.model,
            field=group.field,
            told_by=group.told_by,
            pairs=group.pairs,
            changed=group.changed,
            controls=group.controls,
            change=f"{group.changed} of {group.pairs}",
        )
        for one in audited
        for group in one.pairs
    ]


def _by_cases(audited: Sequence[Audited]) -> list[CasesLine]:
    flat: dict[int, list[bool]] = {}
    for one in audited:
        for interval in one.differing:
            flat.setdefault(interval.cases, []).append(interval.flat)
    return [CasesLine(cases, len(mine), sum(mine)) for cases, mine in sorted(flat.items())]


def _not_judged(found: Measured) -> list[UnreadLine]:
    unread = [UnreadLine(one.name, False, one.cause) for one in found.unread]
    empty = [
        UnreadLine(one.record, True, "it has no field that a check is about")
        for one in found.audited
        if not one.looked_at
    ]
    return sorted([*unread, *empty], key=lambda line: line.record)
