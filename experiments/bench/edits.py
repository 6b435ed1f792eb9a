"""Latency of cache edits against a full re-prefill, by prompt length and by the tokens an erratum adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.bench.settings import FULL
from pkv_interp.editing import EditableContext
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.errata import ERRATA
from pkv_interp.tasks.edits import EditTask
from pkv_interp.tasks.wordings import FILLERS


@dataclass(frozen=True)
class EditTime:
    """One edit, timed once.

    Attributes:
        method: its name.
        repeat: counted from 0.
        seconds: on the clock of `pkv_interp.measure.timing.seconds`.
        wall_ms: milliseconds of wall time.
        recomputed: tokens that were run through the model.
        share: of the context's tokens.
        prompt_surgery: the prompt had to be laid out anew.
    """

    method: str
    repeat: int
    seconds: float
    wall_ms: float
    recomputed: int
    share: float
    prompt_surgery: bool


@dataclass(frozen=True)
class EditTimes:
    """All methods on one prompt of ``tokens`` tokens, in turn."""

    tokens: int
    times: list[EditTime]


@dataclass(frozen=True)
class AddedTime:
    """One erratum that added ``added`` tokens, timed once, in seconds."""

    added: int
    repeat: int
    seconds: float


@dataclass(frozen=True)
class AddedTimes:
    """Errata of several lengths after one prompt of ``tokens`` tokens."""

    tokens: int
    times: list[AddedTime]


@dataclass(frozen=True)
class Agreement:
    """Largest difference in logits between two exact edits of one prompt of ``tokens`` tokens."""

    difference: float
    tokens: int


def warm_up(context: EditableContext, task: EditTask, methods: Sequence[str]) -> None:
    """Every method once: first uses allocate and choose kernels."""
    for method in methods:
        context.edit(task.field, task.new, method)


def time_edits(context: EditableContext, task: EditTask, methods: Sequence[str], repeats: int) -> EditTimes:
    """Time every method in turn, ``repeats`` times.

    Args:
        context: the prompt.
        task: its edit.
        methods: names.
        repeats: how often.
    """
    base, device = context.prefill(), context.runner.model.device
    # A hoisted layout is prefilled once and then edited; that first prefill is its setup.
    hoisted = base.edit(task.field, task.new, "hoist") if "hoist" in methods else base
    times: list[EditTime] = []
    for repeat in range(repeats):
        for method in methods:
            start = hoisted if method == "hoist" else base
            value = task.old if method == "hoist" else task.new
            took, state = seconds(lambda s=start, v=value, m=method: s.edit(task.field, v, m), device)
            cost = state.cost
            times.append(
                EditTime(
                    method, repeat, took, cost.milliseconds, cost.tokens, cost.share, cost.prompt_surgery
                )
            )
            del state  # each would hold a cache while the next one is timed
    return EditTimes(len(base.ids), times)


def time_added(context: EditableContext, task: EditTask, sizes: Sequence[int], repeats: int) -> AddedTimes:
    """Time errata with words after them until they have about as many tokens as asked for.

    Args:
        context: the prompt.
        task: its edit.
        sizes: tokens of the errata.
        repeats: how often.
    """
    base, device = context.prefill(), context.runner.model.device
    wordings = [_wording(context, size) for size in sizes]
    times: list[AddedTime] = []
    for repeat in range(repeats):
        for wording in wordings:
            took, state = seconds(
                lambda w=wording: context.edit(task.field, task.new, "erratum", wording=w), device
            )
            times.append(AddedTime(state.cost.tokens, repeat, took))
    return AddedTimes(len(base.ids), times)


def _wording(context: EditableContext, size: int) -> str:
    wording, at = ERRATA["override"], 0
    while len(context.renderer.after(wording)) < size:
        wording, at = f"{wording} {FILLERS[at % len(FILLERS)]}", at + 1
    return wording


def exact_edits_agree(context: EditableContext, task: EditTask) -> Agreement:
    """How far logits after a recomputed suffix differ from those of the full re-prefill."""
    full, suffix = (context.edit(task.field, task.new, name) for name in (FULL, "suffix_recompute"))
    return Agreement(float((full.logits() - suffix.logits()).abs().max()), len(full.ids))
