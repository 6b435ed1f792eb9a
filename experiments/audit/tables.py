"""Tables of the audit: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class KindLine(TableRow):
    """A kind of finding.

    Attributes:
        kind: its name.
        looked_at: fields that were judged (pairs, intervals, agreements, gaps, scores, figures).
        records: how many have a finding of it.
        findings: how many there are; those that are expected are left out here and in ``fields``.
        fields: numbers of the records that they cover.
        expected: findings that follow from how a quantity is made, so that nothing is amiss.
        what: what it says of a field.
    """

    table = "kinds"
    kind: str
    looked_at: int
    records: int
    findings: int
    fields: int
    expected: int
    what: str


@dataclass(frozen=True)
class CauseLine(TableRow):
    """A sort of a kind; ``basis`` is "record", or "protocol" where the record alone does not show it."""

    table = "causes"
    kind: str
    cause: str
    basis: str
    expected: bool
    records: int
    findings: int
    fields: int


@dataclass(frozen=True)
class RecordLine(TableRow):
    """Findings of one kind and sort in one record, with the first of their fields."""

    table = "by_record"
    record: str
    model: str | None
    kind: str
    cause: str
    expected: bool
    findings: int
    fields: int
    first: str


@dataclass(frozen=True)
class GroupLine(TableRow):
    """Records of one experiment, and how many of them have a finding of a kind, expected ones left out."""

    table = "groups"
    group: str
    kind: str
    records: int
    with_findings: int


@dataclass(frozen=True)
class PairLine(TableRow):
    """Pairs that stand together in a record, and how many of them change their decision."""

    table = "pairs"
    record: str
    model: str | None
    field: str
    told_by: str
    pairs: int
    changed: int
    controls: int
    change: str


@dataclass(frozen=True)
class CasesLine(TableRow):
    """Intervals over that many cases, which the record holds and which differ; how many have no width."""

    table = "by_cases"
    cases: int
    intervals: int
    without_width: int


@dataclass(frozen=True)
class UnreadLine(TableRow):
    """A file without a field that any check is about: ``read`` says whether it could be read at all."""

    table = "not_judged"
    record: str
    read: bool
    cause: str


@dataclass(frozen=True)
class FindingLine(TableRow):
    """One finding; see `pkv_interp.audit.Finding`."""

    table = "findings"
    record: str
    field: str
    kind: str
    cause: str
    value: str
    why: str
    fields: int
    basis: str
    expected: bool
