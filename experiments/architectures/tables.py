"""Tables of the experiment: its summary writes them, its figures and docs read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class ArmLine(TableRow):
    """Recovery of an arm over the edits where the full prompt picks the new action and the stale one the old.

    Without such an edit there is no recovery, and the line says so. Ends are Wilson's, of as many trials as
    these edits have families.
    """

    table = "arms"
    model: str
    arm: str
    recovery: float | None
    recovery_ci_low: float | None
    recovery_ci_high: float | None
    picked: int
    discriminating: int
    edits: int
    full_picks_new: float
    stale_picks_old: float


@dataclass(frozen=True)
class SupportLine(TableRow):
    """What is served of one architecture, by kind of operation, in words; reasons by their number."""

    table = "support"
    architecture: str
    cache: str
    layers: str
    append: str
    reprefill_from_field: str
    edit_in_place: str
    move: str
    engine: str
    exact: int
    refused: int
    largest_error: float | None


@dataclass(frozen=True)
class ReasonLine(TableRow):
    """Why something is refused."""

    table = "reasons"
    number: int
    reason: str
    architectures: str


@dataclass(frozen=True)
class OperationLine(TableRow):
    """One operation on one architecture."""

    table = "operations"
    architecture: str
    operation: str
    error: float | None
    reason: str | None
