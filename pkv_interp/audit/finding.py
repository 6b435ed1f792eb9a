"""What a check returns."""

from dataclasses import dataclass

DECISION, WIDTH, AGREEMENT = "decision_never_changes", "zero_width_interval", "agreement_at_accuracy_0"
NOISE, RANKING, MISSING = "denominator_under_noise", "ranked_and_scored_together", "missing_n"

#: Kinds of findings, each with what it says of a field.
KINDS = {
    DECISION: "old and new side of a pair have the same decision",
    WIDTH: "both ends of an interval are the same number",
    AGREEMENT: "the reference is right nowhere, and agreement with it is stated",
    NOISE: "a ratio is over a gap that is smaller than the error of the margins",
    RANKING: "what was ranked or chosen is scored on the instances that chose it",
    MISSING: "a figure without the number of cases that it rests on",
}


@dataclass(frozen=True)
class Finding:
    """One line of an audit.

    Attributes:
        record: file of the record, relative to its folder.
        field: JSON pointer to what the finding is about.
        kind: a key of `KINDS`.
        cause: of which sort of that kind, in a few words.
        value: the number or the count itself, as text.
        why: one sentence on what it follows from.
        fields: how many numbers of the record it covers.
        basis: "record" where the record alone shows it, "protocol" where its published protocol says so.
        expected: it follows from how the quantity is made (an identity, a control), so nothing is amiss.
    """

    record: str
    field: str
    kind: str
    cause: str
    value: str
    why: str
    fields: int = 1
    basis: str = "record"
    expected: bool = False


@dataclass(frozen=True)
class Checked:
    """What one check found in one record.

    Attributes:
        kind: a key of `KINDS`.
        looked_at: how many fields it judged; 0 where the record has none of the kind that it is about.
        findings: in the order of the record.
    """

    kind: str
    looked_at: int
    findings: tuple[Finding, ...]


def plain(value: float) -> str:
    """A number as it is read: no more digits than it takes, and no minus before a zero."""
    return f"{value + 0.0:.6g}"
