"""From what the experiment measured to its report."""

from collections.abc import Sequence

from experiments.origin.cases import LATE
from experiments.origin.criteria import CRITERIA
from experiments.origin.groups import SIDES, Group, groups
from experiments.origin.measure import Measured
from experiments.origin.settings import OriginSettings
from experiments.origin.tables import Accuracy, Locus, Recovery, TrainingStep
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import verdicts
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate

#: The curriculum whose reader and writer are stated; the tables have all.
STATED = "mixed"


def summarise(found: Measured, scoring: Scoring[OriginSettings]) -> Report:
    """Estimates, tables and rows of a run. The gate is the reader's: its mechanism is what is stated."""
    scored = groups(found, scoring)
    reader = stated(scored, "reader")
    assert reader is not None  # there is at least one seed
    writer = stated(scored, "writer")
    gate = scoring.gate(reader.decided, scoring.settings.competence_threshold)
    at_least = scoring.settings.competence_threshold
    figures = _figures(reader, writer) | _late_figures(scored) | _crossed(scored, writer, at_least)
    judged, held = verdicts(CRITERIA, figures)
    spans = found.cases.field[0].clean.spans
    first = "late" if spans["field"] > spans["trigger"] else "early"
    tables = [line for group in scored for line in _lines(group, first)]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_headlines(figures)],
        tables=[gate.table, *tables, *judged, *held, *_history(found)],
        rows=[row for group in scored for row in group.rows],
        controls=_controls(scored, scoring),
    )


def stated(scored: Sequence[Group], role: str) -> Group | None:
    """The group of a role whose figures are headlines: the mixed curriculum, or else the first."""
    mine = [group for group in scored if group.members[0].role == role]
    named = [group for group in mine if group.members[0].curriculum == STATED]
    return next(iter(named or mine), None)


def _figures(reader: Group, writer: Group | None) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for role, group in (("reader", reader), ("writer", writer)):
        if group is None:
            continue
        for side in SIDES:
            name = f"{role}_accuracy" + ("" if side == "both" else f"_{side}")
            found[name] = group.accuracy(side).over_seeds
    found["reader_field_only"] = reader.recovery("field", "field_only").over_seeds
    notes = reader.recovery("field", "notes_only")
    found["reader_notes_only"] = notes.over_seeds
    found["reader_trigger_only"] = reader.recovery("trigger", "trigger_only").over_seeds
    if notes.spread is not None:
        found["seed_sd_notes_only"] = notes.spread
    return found


def _late_figures(scored: Sequence[Group]) -> dict[str, Estimate]:
    """The reader that was trained with the field late, on prompts that have it there."""
    late = next(
        (g for g in scored if g.members[0].role == "reader" and g.members[0].curriculum == "late"), None
    )
    if late is None or LATE not in late.measured:
        return {}
    return {
        "late_reader_accuracy": late.accuracy("both", LATE).over_seeds,
        "late_reader_field_only": late.recovery(LATE, "field_only").over_seeds,
        "late_reader_notes_only": late.recovery(LATE, "notes_only").over_seeds,
    }


def _crossed(scored: Sequence[Group], writer: Group | None, at_least: float) -> dict[str, Estimate]:
    """The mixed cells of the crossover, and what a writer's decisions rest on if it passes the gate."""
    found: dict[str, Estimate] = {}
    for group in scored:
        first = group.members[0]
        if first.role == "crossover" and first.writer != first.reader:
            found[f"crossed_{first.writer}_cache"] = group.accuracy("both").over_seeds
    sides = [side for side in SIDES if side != "both"]
    if writer is not None and all(writer.accuracy(side).over_seeds.value >= at_least for side in sides):
        for arm in ("field_only", "notes_only"):
            found[f"writer_{arm}"] = writer.recovery("field", arm).over_seeds
    return found


def _headlines(figures: dict[str, Estimate]) -> list[Headline]:
    told = [
        (
            "reader_accuracy",
            "right decisions of a trained decision token over untouched caches",
            False,
            SHARE,
        ),
        ("writer_accuracy", "right decisions of the untouched model over trained prefills", False, SHARE),
        ("crossed_gate_cache", "right decisions of the bare model over the gate's caches", False, SHARE),
        ("crossed_bare_cache", "right decisions of the gate over the bare model's caches", False, SHARE),
        ("writer_field_only", "KV of the field alone, trained prefill", False, (None, None)),
        ("writer_notes_only", "KV after the field alone, trained prefill", False, (None, None)),
        ("reader_field_only", "KV of the field alone, trained decision token", True, (None, None)),
        ("reader_notes_only", "KV after the field alone, trained decision token", True, (None, None)),
        (
            "reader_trigger_only",
            "KV of the flipped trigger alone, trained decision token",
            True,
            (None, None),
        ),
        (
            "late_reader_accuracy",
            "right decisions of a reader trained with the field late, where it is late",
            False,
            SHARE,
        ),
        ("late_reader_field_only", "KV of the field alone, that reader, field late", True, (None, None)),
        ("late_reader_notes_only", "KV after the field alone, that reader, field late", True, (None, None)),
        (
            "seed_sd_notes_only",
            "standard deviation of notes-only over the reader's seeds",
            True,
            NOT_NEGATIVE,
        ),
    ]
    return [
        Headline(name, figures[name], what, needs_gate=mechanism, bounds=bounds)
        for name, what, mechanism, bounds in told
        if name in figures
    ]


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
    for kind, number in group.kinds().items():
        estimate = group.recovery("field", f"kind: {kind}").over_seeds
        lines.append(Locus.of(estimate, kind=kind, positions_per_prompt=number, **group.columns))
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
