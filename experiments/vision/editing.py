"""What edits beside pictures decide."""

from collections.abc import Sequence

import numpy as np

from experiments.vision.settings import FULL, STALE, VisionSettings
from experiments.vision.tables import Edits
from pkv_interp.measure.picture_edits import MOVED, MOVED_FULL, MOVED_STALE, FieldEdits
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import interval
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean
from pkv_interp.stats.recovery import recovery

#: What each arm inside a moved chunk is judged by.
_ENDS = {name: (MOVED_STALE, MOVED_FULL) for name in (MOVED, MOVED_FULL, MOVED_STALE)}


def ends_of(method: str) -> tuple[str, str]:
    """The stale arm and the whole prefill that a method is judged by."""
    return _ENDS.get(method, (STALE, FULL))


def counted(edits: Sequence[FieldEdits], method: str) -> list[FieldEdits]:
    """Edits where the stale prompt decides by the old value and the re-prefilled one by the new."""
    stale, full = ends_of(method)
    return [one for one in edits if one.arms[stale].old and one.arms[full].new]


def decided(edits: Sequence[FieldEdits], method: str, scoring: Scoring[VisionSettings]) -> Estimate | None:
    """Share of edits after which the new value decides; None where none counts."""
    part = counted(edits, method)
    if not part:
        return None
    return mean(
        [one.arms[method].new for one in part],
        [one.family for one in part],
        bounds=(0.0, 1.0),
        **scoring.resampling,
    )


def edit_lines(edits: Sequence[FieldEdits], scoring: Scoring[VisionSettings]) -> list[Edits]:
    """One line per method and place of the field."""
    lines = []
    for place in ("all", *dict.fromkeys(one.place for one in edits)):
        mine = [one for one in edits if place in ("all", one.place)]
        for method in mine[0].arms:
            estimate, part = decided(mine, method, scoring), counted(mine, method)
            if estimate is None:
                continue
            stale, full = ends_of(method)
            moved = recovery(
                [one.arms[method].margin for one in part],
                [one.arms[full].margin for one in part],
                [one.arms[stale].margin for one in part],
                [one.family for one in part],
                noise_floor=scoring.floor,
                **scoring.resampling,
            ).estimate
            lines.append(
                Edits.of(
                    estimate,
                    method=method,
                    place=place,
                    run=float(np.mean([one.arms[method].share for one in part])),
                    old=float(np.mean([one.arms[method].old for one in part])),
                    **interval("recovery", moved),
                )
            )
    return lines


def edit_rows(edits: Sequence[FieldEdits]) -> list[Row]:
    """One line per edit and method; margins of the new value's answer before the old one's."""
    return [
        Row(
            family=one.family,
            split="held_out",
            instance=one.instance,
            wording=one.place,
            arm=method,
            clean=one.arms[ends_of(method)[1]].margin,
            corrupt=one.arms[ends_of(method)[0]].margin,
            patched=arm.margin,
            extra={"new": arm.new, "old": arm.old, "share": arm.share},
        )
        for one in edits
        for method, arm in one.arms.items()
    ]
