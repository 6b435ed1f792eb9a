"""What is read: every record of the folder, and every check on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments.audit.planted import CLEAN, PLANTED
from experiments.audit.protocol import RANKINGS
from experiments.audit.settings import AuditSettings
from pkv_interp.audit import KINDS, Audited, Record, Unread, audit, control_fields, read_folder

if TYPE_CHECKING:
    from pkv_interp.run.sitting import Sitting


@dataclass(frozen=True)
class Measured:
    """All that was read.

    Attributes:
        audited: one entry a record, in the order of their names.
        unread: files that are no record.
    """

    audited: tuple[Audited, ...]
    unread: tuple[Unread, ...]


def measure(sitting: "Sitting[AuditSettings]") -> Measured:
    """See that the checks find what is planted and nothing else, then read the folder."""
    settings = sitting.settings
    planted = _kinds(PLANTED)
    once = sum(planted.count(kind) == 1 for kind in KINDS)
    sitting.control("planted_findings", once, len(KINDS), 0.0, "kinds found once in records with one of each")
    sitting.control("clean_records", len(_kinds(CLEAN)), 0.0, 0.0, "findings in records that have none")
    return sitting.once("records", lambda: _read(settings), Measured)


def _kinds(documents: Sequence[dict[str, Any]]) -> list[str]:
    """Kinds of the findings in made-up records, each as often as it was found."""
    found = (audit(Record("planted.json", document)).findings for document in documents)
    return [finding.kind for findings in found for finding in findings]


def _read(settings: AuditSettings) -> Measured:
    records, unread = read_folder(settings.folder.path)
    controls = control_fields(records)
    audited = (
        audit(record, rounding=settings.margin_error, known=RANKINGS, controls=controls) for record in records
    )
    return Measured(tuple(audited), tuple(unread))
