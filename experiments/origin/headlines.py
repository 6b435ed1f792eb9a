"""The figures that are headlines, and those that the criteria judge."""

from collections.abc import Sequence

from experiments.origin.cases import LATE, TRIGGER_LATE
from experiments.origin.groups import SIDES, Group
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline
from pkv_interp.stats import Estimate

#: The curriculum whose reader and writer are stated; the tables have all.
STATED = "mixed"
#: Headlines: name, what it is, whether the gate of the stated reader withholds it, and its bounds.
_TOLD = (
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
    ("late_reader_field_only", "KV of the field alone, that reader, field late", False, (None, None)),
    ("late_reader_notes_only", "KV after the field alone, that reader, field late", False, (None, None)),
    (
        "late_reader_trigger_only",
        "KV of the flipped trigger alone, that reader, field late",
        False,
        (None, None),
    ),
    (
        "late_reader_field_tokens",
        "KV of the field alone where the trigger flipped before it, that reader",
        False,
        (None, None),
    ),
    (
        "seed_sd_notes_only",
        "standard deviation of notes-only over the reader's seeds",
        True,
        NOT_NEGATIVE,
    ),
)


def stated(scored: Sequence[Group], role: str) -> Group | None:
    """The group of a role whose figures are headlines: the mixed curriculum, or else the first."""
    mine = [group for group in scored if group.members[0].role == role]
    named = [group for group in mine if group.members[0].curriculum == STATED]
    return next(iter(named or mine), None)


def figures_of(scored: Sequence[Group], at_least: float) -> dict[str, Estimate]:
    """All figures by name; what was not measured, or is of a part that cannot decide, is left out.

    Args:
        scored: all groups.
        at_least: share of right decisions on either side, under which a part's mechanism is not stated. The
            stated reader is gated by the run itself.
    """
    reader, writer = stated(scored, "reader"), stated(scored, "writer")
    assert reader is not None  # there is at least one seed
    return _figures(reader, writer) | _late_figures(scored, at_least) | _crossed(scored, writer, at_least)


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


def _late_figures(scored: Sequence[Group], at_least: float) -> dict[str, Estimate]:
    """The reader that was trained with the field late, on prompts that have it there; else the stated one."""
    readers = [group for group in scored if group.members[0].role == "reader"]
    late = next((g for g in readers if g.members[0].curriculum == "late"), stated(scored, "reader"))
    if late is None or LATE not in late.measured:
        return {}
    found = {
        "late_reader_accuracy" + ("" if side == "both" else f"_{side}"): late.accuracy(side, LATE).over_seeds
        for side in SIDES
    }
    if not _decides(late, LATE, at_least):
        return found
    for arm in ("field_only", "notes_only"):
        found[f"late_reader_{arm}"] = late.recovery(LATE, arm).over_seeds
    if TRIGGER_LATE in late.measured:
        found["late_reader_trigger_only"] = late.recovery(TRIGGER_LATE, "trigger_only").over_seeds
        found["late_reader_field_tokens"] = late.recovery(TRIGGER_LATE, "kind: field").over_seeds
    return found


def _decides(group: Group, changed: str, at_least: float) -> bool:
    """Whether a group is right often enough on either side."""
    sides = [side for side in SIDES if side != "both"]
    return all(group.accuracy(side, changed).over_seeds.value >= at_least for side in sides)


def _crossed(scored: Sequence[Group], writer: Group | None, at_least: float) -> dict[str, Estimate]:
    """The mixed cells of the crossover, and what a writer's decisions rest on if it passes the gate."""
    found: dict[str, Estimate] = {}
    for group in scored:
        first = group.members[0]
        if first.role == "crossover" and first.writer != first.reader:
            found[f"crossed_{first.writer}_cache"] = group.accuracy("both").over_seeds
    if writer is not None and _decides(writer, "field", at_least):
        for arm in ("field_only", "notes_only"):
            found[f"writer_{arm}"] = writer.recovery("field", arm).over_seeds
    return found


def headlines(figures: dict[str, Estimate]) -> list[Headline]:
    """What a report states, of the figures that there are."""
    return [
        Headline(name, figures[name], what, needs_gate=mechanism, bounds=bounds)
        for name, what, mechanism, bounds in _TOLD
        if name in figures
    ]
