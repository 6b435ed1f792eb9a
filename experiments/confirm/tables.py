"""Tables of the confirmatory run: its summary writes them, its figure reads them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"


@dataclass(frozen=True)
class ClaimLine(TableRow):
    """One claim with its figure over pairs right on both sides, by which it is judged, and over all pairs.

    Attributes:
        claim, what, source: its name, how it is measured, where its threshold comes from.
        figure: name of the figure that it is judged by.
        direction: ``over``, ``under`` or ``between``.
        low, high: what the estimate must lie above and below; None where that side is open.
        excludes: what the 95 % interval must exclude; None for ``between``.
        outcome: ``passed``, ``failed`` or ``not applicable``.
        reason: in words.
        part: whose competence it needs.
        over: what it is judged on.
        value, ci_low, ci_high, n_families, n_instances: the estimate and its 95 % interval; None where the
            claim does not apply.
        p_equivalence: of the two one-sided tests; None for other directions.
    """

    table = "claims"
    claim: str
    figure: str
    what: str
    direction: str
    low: float | None
    high: float | None
    excludes: float | None
    outcome: str
    reason: str
    part: str
    over: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_families: int | None
    n_instances: int | None
    all_value: float | None
    all_ci_low: float | None
    all_ci_high: float | None
    all_n_instances: int | None
    p_equivalence: float | None
    source: str


@dataclass(frozen=True)
class PartLine(TableRow):
    """One part: how often the model is right there, and on how many of its pairs on both sides.

    Attributes:
        part: its name.
        match, mismatch: shares right by side, over the pairs that were tried.
        competent: both sides reach the gate; None where that is not asked, since pairs are screened.
        pairs, right_on_both, used: pairs that were tried, that are right on both sides, that were scored.
        families, families_right: of the pairs, and those with one right on both sides.
    """

    table = "parts"
    part: str
    match: float
    mismatch: float
    competent: bool | None
    pairs: int
    right_on_both: int
    used: int
    families: int
    families_right: int


@dataclass(frozen=True)
class ChosenLine(TableRow):
    """A head or a label that discovery families chose, best first."""

    table = "chosen"
    what: str
    rank: int
    name: str


@dataclass(frozen=True)
class FileLine(TableRow):
    """The files that the run rests on, by content."""

    table = "files"
    preregistration: str
    scenarios: str
    commit: str | None
