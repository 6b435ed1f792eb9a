"""Ratios over a gap between two margins, and how far off these margins are by the record's own checks.

Where everything that differs is put in, recovery must be 1. How far it is from 1, times the gap that it is a
share of, is an error in logits, and a gap below the largest such error of a record cannot carry a ratio.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pkv_interp.audit.document import Record
from pkv_interp.audit.finding import NOISE, Checked, Finding, plain
from pkv_interp.audit.pair_fields import MARGINS
from pkv_interp.audit.tree import Node, number, walk

#: Recoveries that are 1 whatever the model does, in the mapping of one case.
IDENTITIES = ("full_downstream_recovery", "full_downstream")
#: A gap that is given as such.
GAP = "denom"
#: Two logits of size 16 to 32 in bfloat16, each one step of an eighth off.
ROUNDING = 0.25


@dataclass(frozen=True, eq=False)
class _Gap:
    """A denominator in logits, and by how much an identity over it is missed, in logits."""

    group: Node
    size: float
    identity: float | None

    @property
    def error(self) -> float:
        """Of the identity, in logits; 0 where there is none."""
        return 0.0 if self.identity is None else abs(self.identity - 1.0) * self.size


def check_ratios(record: Record, rounding: float = ROUNDING) -> Checked:
    """A finding for every list of cases with gaps under the error of their margins.

    Args:
        record: to look at.
        rounding: least error of a margin, in logits, whatever the record's own checks say.
    """
    groups: dict[str, list[_Gap]] = {}
    for node in walk(record.document):
        for gap in _gaps(node):
            groups.setdefault(gap.group.pointer, []).append(gap)
    findings = [
        _finding(record, pointer, gaps, error, rounding)
        for pointer, gaps in groups.items()
        if any(gap.size < (error := max(rounding, *(one.error for one in gaps))) for gap in gaps)
    ]
    return Checked(NOISE, sum(map(len, groups.values())), tuple(findings))


def _gaps(node: Node) -> Iterator[_Gap]:
    inner = node.mapping
    identity = next((found for key in IDENTITIES if (found := number(inner.get(key))) is not None), None)
    group = node.in_list() or node
    for first, second in MARGINS:
        old, new = number(inner.get(first)), number(inner.get(second))
        if old is not None and new is not None:
            yield _Gap(group, abs(new - old), identity)
            return
    given = number(inner.get(GAP))
    if given is not None:
        yield _Gap(group, abs(given), identity)


def _finding(record: Record, pointer: str, gaps: list[_Gap], error: float, rounding: float) -> Finding:
    under = [gap for gap in gaps if gap.size < error]
    smallest, largest = min(gap.size for gap in gaps), max(gap.size for gap in gaps)
    sizes = f"gaps reach from {smallest:.3g} to {largest:.3g} logits"
    if error > rounding:
        missed = [gap.identity for gap in gaps if gap.identity is not None]
        cause = "identity missed"
        why = (
            "putting everything in must recover 1, and recovers "
            f"{plain(min(missed))} to {plain(max(missed))}: up to {error:.3g} logits off, where {sizes}"
        )
    else:
        cause = "rounding"
        why = f"bfloat16 logits of usual size leave a margin {error:.3g} logits off, where {sizes}"
    return Finding(
        record=record.name,
        field=pointer,
        kind=NOISE,
        cause=cause,
        value=f"{len(under)} of {len(gaps)} gaps under {error:.3g} logits",
        why=why,
        fields=len(under),
    )
