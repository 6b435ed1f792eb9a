"""From what was measured to a report: tables by model, headlines, and the verdict on every criterion."""

from collections.abc import Sequence

import numpy as np

from experiments.programmable.claims import parse
from experiments.programmable.edits import EditMargins
from experiments.programmable.figures_of import SPLICED, figures_of, read_right, right, share
from experiments.programmable.headlines import headlines
from experiments.programmable.inside_lines import inside_lines
from experiments.programmable.judging import judge
from experiments.programmable.measure import Measured, RoleMeasured
from experiments.programmable.overlap import overlap
from experiments.programmable.settings import GATE, ProgrammableSettings
from experiments.programmable.tables import (
    ArmLine,
    ChatLine,
    CostLine,
    DriftLine,
    JoinLine,
    OverlapLine,
    PartLine,
    SpliceLine,
)
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, ratio_of_means

#: Parts of the cache that are told.
PARTS = ("field_only", "notes_only", "field_only_K", "field_only_V", "notes_only_K", "notes_only_V")


def summarise(found: Measured, scoring: Scoring[ProgrammableSettings]) -> Report:
    """Tables, headlines and verdicts."""
    how, gate_role = scoring.resampling, found.roles[GATE]
    gate = scoring.gate(_decisions(gate_role.edits), scoring.settings.competence_threshold)
    figures = {role: dict(figures_of(mine, gate_role, how)) for role, mine in found.roles.items()}
    parts: list[PartLine] = []
    rows: list[Row] = []
    for role, mine in found.roles.items():
        scorer = scoring.on(found.pairs, mine.parts)
        for part in PARTS:
            told = scorer.arm(f"{role}/{part}", [one.parts[part] for one in mine.parts])
            parts.append(PartLine.of(told, role=role, part=part))
            if part == "notes_only":
                figures[role]["notes_only"] = told
        rows += [*scorer.rows, *_rows(role, mine.edits)]
    shared = _overlaps(found, scoring)
    for line in shared:
        if line.one == GATE:
            figures[line.other]["jaccard"] = line.estimate
    stated, withheld = headlines(found, figures, _latency(found, scoring))
    inside, inside_rows = inside_lines(found, scoring)
    criteria = parse(found.criteria).criteria
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *stated],
        tables=[
            gate.table,
            *(line for role, mine in found.roles.items() for line in _arms(role, mine.edits, scoring)),
            *(line for role, mine in found.roles.items() for line in _splices(role, mine, scoring)),
            *(_drift(role, mine) for role, mine in found.roles.items()),
            *parts,
            *shared,
            *inside,
            *_costs(found),
            *_joined(found, scoring),
            *_chats(found),
            *(judge(one, figures, gate.passed) for one in criteria),
            *withheld,
        ],
        rows=[*rows, *inside_rows],
    )


def _decisions(edits: Sequence[EditMargins]) -> list[Decision]:
    """Plain prefills of the old and of the new text, for the competence gate."""
    return [
        Decision(
            one.family,
            one.instance,
            one.matches == is_new,
            one.margins[arm],
            one.margins[arm] > 0,
            one.top_token_right[is_new],
        )
        for one in edits
        if "full_old" in one.margins
        for is_new, arm in ((False, "full_old"), (True, "full"))
    ]


def _arms(role: str, edits: Sequence[EditMargins], scoring: Scoring[ProgrammableSettings]) -> list[ArmLine]:
    lines = []
    for fillers, place in dict.fromkeys((one.fillers, one.place) for one in edits):
        part = [one for one in edits if (one.fillers, one.place) == (fillers, place)]
        for arm in dict.fromkeys(arm for one in part for arm in one.margins):
            told = [one for one in part if arm in one.margins]
            estimate = share(right(told, arm), [one.family for one in told], scoring.resampling)
            lines.append(
                ArmLine.of(
                    estimate,
                    role=role,
                    arm=arm,
                    place=place,
                    fillers=fillers,
                    tokens=float(np.mean([one.tokens[arm] for one in told])),
                    length=float(np.mean([one.length for one in told])),
                    read=_read(told, arm),
                )
            )
    return lines


def _read(edits: Sequence[EditMargins], arm: str) -> float | None:
    """Share of values that were read back as the text then had them; None where none was read."""
    return float(np.mean(read_right(edits, arm))) if arm in edits[0].values else None


def _splices(role: str, mine: RoleMeasured, scoring: Scoring[ProgrammableSettings]) -> list[SpliceLine]:
    lines = []
    for place in dict.fromkeys(one.place for one in mine.splices):
        part = [one for one in mine.splices if one.place == place]
        for arm in ("full", *SPLICED, "read_full"):
            values = [getattr(one, arm) > 0 for one in part]
            estimate = share(values, [one.family for one in part], scoring.resampling)
            lines.append(SpliceLine.of(estimate, role=role, arm=arm, place=place))
    return lines


def _drift(role: str, mine: RoleMeasured) -> DriftLine:
    return DriftLine(
        role=role,
        edits=mine.drifts[0].edits,
        isolated=float(np.mean([one.isolated for one in mine.drifts])),
        plain=float(np.mean([one.plain for one in mine.drifts])),
        alike=float(np.mean([one.alike for one in mine.drifts])),
        right=float(np.mean([one.right for one in mine.drifts])),
        n=len(mine.drifts),
    )


def _overlaps(found: Measured, scoring: Scoring[ProgrammableSettings]) -> list[OverlapLine]:
    """The gate's read heads against those of every other model."""
    number = scoring.settings.read_heads
    return [
        OverlapLine.of(
            overlap(found.roles[GATE].heads, mine.heads, number, scoring.resampling),
            one=GATE,
            other=role,
            heads=number,
        )
        for role, mine in found.roles.items()
        if role != GATE
    ]


def _costs(found: Measured) -> list[CostLine]:
    lines = []
    arms = dict.fromkeys(arm for one in found.costs for arm in one.arms)
    for arm in arms:
        told = [one.arms[arm] for one in found.costs if arm in one.arms]
        for edits in range(1, len(told[0].tokens) + 1):
            lines.append(
                CostLine(
                    arm=arm,
                    edits=edits,
                    tokens=float(np.mean([sum(one.tokens[:edits]) for one in told])),
                    milliseconds=float(np.mean([sum(one.seconds[:edits]) * 1e3 for one in told])),
                    n=len(told),
                )
            )
    return lines


def _joined(found: Measured, scoring: Scoring[ProgrammableSettings]) -> list[JoinLine]:
    lines = []
    for at in range(len(found.joins[0].counts)):
        told, families = [one.counts[at] for one in found.joins], [one.family for one in found.joins]
        ratio = ratio_of_means(
            [one.plain for one in told], [one.spliced for one in told], families, **scoring.resampling
        )
        lines.append(
            JoinLine.of(
                ratio,
                chunks=told[0].chunks,
                length=float(np.mean([one.length for one in told])),
                run=float(np.mean([one.run for one in told])),
                spliced_ms=1e3 * float(np.mean([one.spliced for one in told])),
                blind_ms=1e3 * float(np.mean([one.blind for one in told])),
                plain_ms=1e3 * float(np.mean([one.plain for one in told])),
            )
        )
    return lines


def _latency(found: Measured, scoring: Scoring[ProgrammableSettings]) -> Estimate:
    """Time of full prefills over that of as many isolated edits with their decisions."""
    full, edited = (
        [float(np.mean(one.arms[arm].seconds)) for one in found.costs] for arm in ("full", "isolated")
    )
    return ratio_of_means(full, edited, [one.family for one in found.costs], **scoring.resampling)


def _chats(found: Measured) -> list[ChatLine]:
    ours = found.roles[GATE].chat
    return [
        ChatLine(role, mine.chat.loss, mine.chat.loss / ours.loss, mine.chat.chats)
        for role, mine in found.roles.items()
        if mine.chat is not None and ours is not None
    ]


def _rows(role: str, edits: Sequence[EditMargins]) -> list[Row]:
    return [
        Row(
            family=one.family,
            split=one.split,
            instance=one.instance,
            wording=one.wording,
            arm=f"{role}/{arm}",
            clean=one.margins["full"],
            patched=margin,
            extra={
                "place": one.place,
                "fillers": one.fillers,
                "tokens": one.tokens[arm],
                "length": one.length,
                "matches": one.matches,
            },
        )
        for one in edits
        for arm, margin in one.margins.items()
    ]
