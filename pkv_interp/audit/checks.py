"""All checks over one record."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pkv_interp.audit.agreement import check_agreement
from pkv_interp.audit.document import Record
from pkv_interp.audit.finding import KINDS, Checked, Finding
from pkv_interp.audit.intervals import Differing, check_intervals, differing
from pkv_interp.audit.missing import check_missing
from pkv_interp.audit.pair_fields import PairGroup, pair_groups
from pkv_interp.audit.pairs import check_pairs
from pkv_interp.audit.ranking import KnownRanking, check_rankings
from pkv_interp.audit.ratios import ROUNDING, check_ratios


@dataclass(frozen=True)
class Audited:
    """All that was found in one record.

    Attributes:
        record: its file, relative to the folder.
        model: that it names, None where it names none.
        checked: one entry a kind, in the order of `KINDS`.
        pairs: all of its pairs, those that change their decision as well.
        differing: its intervals over cases that differ, those with a width as well.
    """

    record: str
    model: str | None
    checked: tuple[Checked, ...]
    pairs: tuple[PairGroup, ...]
    differing: tuple[Differing, ...]

    @property
    def looked_at(self) -> int:
        """How many fields were judged; 0 where the record has none that any check is about."""
        return sum(one.looked_at for one in self.checked)

    @property
    def findings(self) -> list[Finding]:
        """Findings of all kinds."""
        return [finding for one in self.checked for finding in one.findings]


def audit(
    record: Record,
    *,
    rounding: float = ROUNDING,
    known: Sequence[KnownRanking] = (),
    controls: Collection[str] = (),
) -> Audited:
    """Run every check on a record.

    Args:
        record: to look at.
        rounding: least error of a margin, in logits.
        known: rankings that only a protocol tells of.
        controls: names of fields that no rule speaks of, whose pairs are meant to stay as they are.
    """
    pairs = pair_groups(record, controls)
    checked = (
        check_pairs(pairs),
        check_intervals(record),
        check_agreement(record),
        check_ratios(record, rounding),
        check_rankings(record, known),
        check_missing(record),
    )
    assert tuple(one.kind for one in checked) == tuple(KINDS)
    return Audited(record.name, record.model, checked, pairs, differing(record))
