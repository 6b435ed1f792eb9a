"""From what the experiment measured to its report."""

from collections.abc import Sequence

from experiments.origin.cases import LATE, TRIGGER_LATE
from experiments.origin.criteria import CRITERIA
from experiments.origin.groups import SIDES, Group, groups
from experiments.origin.headlines import figures_of, headlines, stated
from experiments.origin.measure import Measured
from experiments.origin.settings import OriginSettings
from experiments.origin.tables import Accuracy, Locus, Recovery, TrainingStep
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import verdicts
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate

#: Pairs whose notes are told apart by kind of token. Where the rule's trigger flips and the field stands
#: after it, the field's own tokens are among the notes.
LOCATED = ("field", TRIGGER_LATE)


def summarise(found: Measured, scoring: Scoring[OriginSettings]) -> Report:
    """Estimates, tables and rows of a run. The gate is the reader's: its mechanism is what is stated."""
    scored = groups(found, scoring)
    reader = stated(scored, "reader")
    assert reader is not None  # there is at least one seed
    gate = scoring.gate(reader.decided, scoring.settings.competence_threshold)
    figures = figures_of(scored, scoring.settings.competence_threshold)
    judged, held = verdicts(CRITERIA, figures)
    spans = found.cases.field[0].clean.spans
    first = "late" if spans["field"] > spans["trigger"] else "early"
    tables = [line for group in scored for line in _lines(group, first)]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *headlines(figures)],
        tables=[gate.table, *tables, *judged, *held, *_history(found)],
        rows=[row for group in scored for row in group.rows],
        controls=_controls(scored, scoring),
    )


def _lines(group: Group, first: str) -> list[TableRow]:
    """Tables of a group; ``first`` is where the layout itself has the field."""
    lines: list[TableRow] = []
    seeds = [one.seed for one in group.members]
    for place, changed in ((first, "field"), ("late", LATE)):
        for side in SIDES if changed in group.measured else ():
            share = group.accuracy(side, changed)
            each = zip([None, *seeds], [share.over_seeds, *share.by_seed], strict=True)
            lines += [
                Accuracy.of(one, seed=seed, side=side, place=place, **group.columns)
                for seed, one in _once(each)
            ]
    for changed in group.measured:
        for arm in group.arms(changed):
            part = group.recovery(changed, arm, rows=True)
            spread = None if part.spread is None else part.spread.value
            each = zip([None, *seeds], [part.over_seeds, *part.by_seed], strict=True)
            lines += [
                Recovery.of(one, seed=seed, changed=changed, arm=arm, sd_seeds=spread, **group.columns)
                for seed, one in _once(each)
            ]
    for changed in LOCATED:
        for kind, number in group.kinds(changed).items() if changed in group.measured else ():
            estimate = group.recovery(changed, f"kind: {kind}").over_seeds
            lines.append(
                Locus.of(estimate, kind=kind, positions_per_prompt=number, changed=changed, **group.columns)
            )
    return lines


def _once(each: "zip[tuple[int | None, Estimate]]") -> list[tuple[int | None, Estimate]]:
    """Lines of a group; what was not trained has no seed, and one line."""
    found = list(each)
    return found[:1] if found[-1][0] is None else found


def _history(found: Measured) -> list[TrainingStep]:
    return [
        TrainingStep(
            name,
            number + 1,
            values["loss"],
            values.get("accuracy_plain"),
            values.get("accuracy_late"),
        )
        for name, training in found.trainings.items()
        for number, values in enumerate(training.history)
    ]


def _controls(scored: Sequence[Group], scoring: Scoring[OriginSettings]) -> list[Control]:
    errors = [group.control_errors() for group in scored]
    n = sum(len(group.members) for group in scored)
    return [
        control(
            name, max(pair[i] for pair in errors), 0.0, scoring.floor, f"logits, {n} arrangements, {what}"
        )
        for i, (name, what) in enumerate(
            (
                ("full_patch_of_crossed", "field and notes together against clean"),
                ("self_patch_of_crossed", "own KV"),
            )
        )
    ]
