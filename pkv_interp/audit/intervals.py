"""Intervals without width: what they are of decides what that says.

A bootstrap of cases that are all alike cannot have a width, and neither can one of a single case. An interval
without width over cases that differ does not show their spread.
"""

import re
from dataclasses import dataclass

from pkv_interp.audit.document import Record
from pkv_interp.audit.fields import Interval, intervals
from pkv_interp.audit.finding import WIDTH, Checked, Finding, plain
from pkv_interp.audit.samples import STEP, usual_width
from pkv_interp.stats.intervals import wilson_ends

IDENTITY, ONE, ALIKE = "identity", "one case", "cases alike"
DIFFER, ROUNDED, UNKNOWN = "cases differ", "under the digits", "cases not in the record"
#: What is put in is all that differs, so recovery is 1 whatever the model does.
_EVERYTHING = re.compile(r"full_downstream(_recovery)?")
_GROWING = re.compile(r"\w*(suffix|prefix)\w*")


@dataclass(frozen=True)
class Differing:
    """An interval whose cases are in the record and differ by more than its digits show.

    Attributes:
        cases: how many there are.
        flat: the interval has no width.
    """

    cases: int
    flat: bool


def differing(record: Record) -> tuple[Differing, ...]:
    """Intervals that should have a width by the cases in the record, in their order."""
    return tuple(
        Differing(len(one.sample), one.low == one.high)
        for one in intervals(record.document)
        if one.sample is not None and usual_width(one.sample) > STEP
    )


def check_intervals(record: Record) -> Checked:
    """A finding for every interval whose ends are the same number as printed."""
    found = intervals(record.document)
    flat = [one for one in found if one.low == one.high and not _is_bound_at_nothing(one)]
    return Checked(WIDTH, len(found), tuple(_finding(record, one) for one in flat))


def _is_bound_at_nothing(one: Interval) -> bool:
    """A lower bound at 0 or below the top is what a lower bound may be; only one at 1 has no width to say."""
    return one.one_sided and one.value != 1.0


def cause_of(one: Interval) -> str:
    """Why an interval without width has none, as far as the record shows."""
    if is_identity(one):
        return IDENTITY
    if one.n == 1 or (one.sample is not None and len(one.sample) == 1):
        return ONE
    if one.sample is not None:
        if min(one.sample) == max(one.sample):
            return ALIKE
        return DIFFER if usual_width(one.sample) > STEP else ROUNDED
    return ALIKE if one.is_share and one.value in (0.0, 1.0) else UNKNOWN


def is_identity(one: Interval) -> bool:
    """Whether a figure is 1 by the way it is made: everything that differs is put in."""
    if one.value != 1.0:
        return False
    whole = one.node.path[-1:] == ("1.0",) and _GROWING.fullmatch(one.node.name)
    return bool(whole or _EVERYTHING.fullmatch(one.name))


def _finding(record: Record, one: Interval) -> Finding:
    cause = cause_of(one)
    n = "" if one.n is None else f", n={one.n}"
    ends = f"lower bound {plain(one.low)}" if one.one_sided else f"[{plain(one.low)}, {plain(one.high)}]"
    return Finding(
        record=record.name,
        field=one.field,
        kind=WIDTH,
        cause=cause,
        value=f"{plain(one.value)} {ends}{n}",
        why=_why(one, cause),
        expected=cause in (IDENTITY, ROUNDED),
    )


def _why(one: Interval, cause: str) -> str:
    if cause == IDENTITY:
        return "everything that differs is put in, so the figure is 1 by construction and has no spread"
    if cause == ONE:
        return "there is a single case, and one case shows no spread"
    if cause in (DIFFER, ROUNDED) and one.sample is not None:
        reach = f"from {plain(min(one.sample))} to {plain(max(one.sample))}"
        told = f"the {len(one.sample)} values in the record reach {reach}"
        return f"{told}, {'which the interval hides' if cause == DIFFER else 'too little for its digits'}"
    if cause == UNKNOWN:
        return "the values of the cases are not in the record; a width under the printed digits is possible"
    why = "every case has the same value, so resampling them shows no spread"
    if one.n is not None and one.value in (0.0, 1.0):
        low, high = wilson_ends(one.n if one.value == 1.0 else 0, one.n, 0.95)
        reaches = f"down to {low:.3f}" if one.value == 1.0 else f"up to {high:.3f}"
        why += f"; a Wilson interval of {one.n} cases reaches {reaches}"
    return why
