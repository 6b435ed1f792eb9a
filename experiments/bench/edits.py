"""Latency of cache edits against a full re-prefill, by prompt length and by the tokens an erratum adds."""

import statistics
from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from rich.console import Console

from experiments._setup import TOLERANCE
from pkv_interp.editing import Cost, EditableContext
from pkv_interp.errors import PkvError
from pkv_interp.measure.timing import seconds
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.errata import ERRATA
from pkv_interp.records import Run, RunRecord
from pkv_interp.stats import Estimate
from pkv_interp.stats.slopes import exponent
from pkv_interp.tasks import FAMILIES, Style
from pkv_interp.tasks.edits import EditTask, edit_task
from pkv_interp.tasks.wordings import FILLERS

if TYPE_CHECKING:
    from experiments.bench import BenchSettings

FULL = "full_reprefill"
#: Methods whose exponent the headline states; the rest are in the table.
STATED = ("field_only", "erratum", FULL)


def edits(run: Run, settings: "BenchSettings", loaded: LoadedModel) -> None:
    """Fill ``edit_latency``, ``edit_exponents`` and ``edit_added``, their headline and a control.

    All methods edit the same field of the same cache in turn, ``repeats`` times. The exponents over prompt
    lengths say how much an edit depends on the prompt, the one over added tokens what an erratum depends on.
    """
    methods = (*(m for m in settings.edit_methods if m != FULL), FULL)
    contexts = {n: prompt_of(loaded, settings, n) for n in settings.edit_lengths}
    _warm_up(*contexts[settings.edit_lengths[0]], methods)
    lines = []
    for context, task in contexts.values():
        for repeat in range(settings.repeats):
            lines += _round(context, task, methods, repeat)
    run.tables["edit_latency"] = lines
    run.tables["edit_exponents"] = [_growth(lines, method) for method in methods]
    middle = settings.edit_lengths[len(settings.edit_lengths) // 2]
    added = [
        line
        for repeat in range(settings.repeats)
        for line in _added(*contexts[middle], settings.edit_added, repeat)
    ]
    run.tables["edit_added"] = added
    run.headline |= {
        f"{method}_exponent": _exponent([x for x in lines if x["method"] == method], "tokens")
        for method in STATED
        if method in methods
    }
    run.headline["erratum_exponent_added"] = _exponent(added, "added")
    longest = max(line["tokens"] for line in lines)
    for method in STATED[:2]:
        speedups = [x["speedup"] for x in lines if x["method"] == method and x["tokens"] == longest]
        if speedups:
            run.headline[f"{method}_speedup"] = Estimate(
                value=statistics.median(speedups), n_families=1, n_instances=len(speedups)
            )
    context, task = contexts[settings.edit_lengths[0]]
    full, suffix = (context.edit(task.field, task.new, name) for name in (FULL, "suffix_recompute"))
    run.control(
        "suffix_recompute_equals_full_reprefill",
        float((full.logits() - suffix.logits()).abs().max()),
        0.0,
        TOLERANCE[loaded.info.dtype][1],
        f"logits, {len(full.ids)} tokens",
    )


def prompt_of(
    loaded: LoadedModel, settings: "BenchSettings", tokens: int
) -> tuple[EditableContext, EditTask]:
    """The prompt with as many filler sentences as ``tokens`` leave room for, and its edit.

    Raises:
        PkvError: the prompt is longer without any.
    """
    tokenizer = loaded.tokenizer

    def task_of(n_fillers: int) -> EditTask:
        style = Style(n_fillers=n_fillers, thinking=settings.model.thinking)
        return edit_task(FAMILIES[0], 0, tokenizer, seed=settings.seed, matches=True, style=style)

    def context_of(task: EditTask) -> EditableContext:
        return EditableContext(
            loaded.model, tokenizer, task.messages, task.question, thinking=settings.model.thinking
        )

    def length(n_fillers: int) -> int:
        return context_of(task_of(n_fillers)).n_tokens

    found = bisect_right(range(tokens), tokens, key=length) - 1
    if found < 0:
        raise PkvError(f"no prompt has as few as {tokens} tokens", f"use edit_lengths from {length(0)}")
    task = task_of(found)
    return context_of(task), task


def _warm_up(context: EditableContext, task: EditTask, methods: Sequence[str]) -> None:
    """Every method once: first uses allocate and choose kernels."""
    for method in methods:
        context.edit(task.field, task.new, method)


def _round(
    context: EditableContext, task: EditTask, methods: Sequence[str], repeat: int
) -> list[dict[str, Any]]:
    """One line for each method: the edit timed once."""
    base, device = context.prefill(), context.runner.model.device
    timed: list[tuple[str, float, Cost]] = []
    for method in methods:
        # A hoisted layout is prefilled once and then edited; that first prefill is its setup.
        start = base.edit(task.field, task.new, "hoist") if method == "hoist" else base
        value = task.old if method == "hoist" else task.new
        took, state = seconds(lambda s=start, v=value, m=method: s.edit(task.field, v, m), device)
        timed.append((method, took, state.cost))  # the state itself would hold a cache
    full = next(took for method, took, _ in timed if method == FULL)
    return [
        {
            "method": method,
            "tokens": len(base.ids),
            "repeat": repeat,
            "seconds": took,
            "wall_ms": cost.milliseconds,
            "recomputed": cost.tokens,
            "share": cost.share,
            "prompt_surgery": cost.prompt_surgery,
            "speedup": full / took,
        }
        for method, took, cost in timed
    ]


def _added(
    context: EditableContext, task: EditTask, sizes: Sequence[int], repeat: int
) -> list[dict[str, Any]]:
    """One line for each size: an erratum with words behind it until it has about as many tokens."""
    lines = []
    for size in sizes:
        wording, at = ERRATA["override"], 0
        while len(context.renderer.behind(wording)) < size:
            wording, at = f"{wording} {FILLERS[at % len(FILLERS)]}", at + 1
        took, state = seconds(
            lambda w=wording: context.edit(task.field, task.new, "erratum", wording=w),
            context.runner.model.device,
        )
        lines.append(
            {
                "tokens": len(context.prefill().ids),
                "added": state.cost.tokens,
                "repeat": repeat,
                "seconds": took,
            }
        )
    return lines


def _growth(lines: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    """One line: exponent over prompt lengths, and the latency at both ends."""
    mine = [line for line in lines if line["method"] == method]
    fitted = _exponent(mine, "tokens")
    ends = sorted({line["tokens"] for line in mine})
    first, last = (
        statistics.median(x["seconds"] for x in mine if x["tokens"] == end) for end in (ends[0], ends[-1])
    )
    return {
        "method": method,
        "exponent": fitted.value,
        "ci_low": fitted.ci_low,
        "ci_high": fitted.ci_high,
        "shortest": ends[0],
        "longest": ends[-1],
        "seconds_shortest": first,
        "seconds_longest": last,
    }


def _exponent(lines: Sequence[dict[str, Any]], name: str) -> Estimate:
    return exponent([line[name] for line in lines], [line["seconds"] for line in lines])


def tell_edits(console: Console, record: RunRecord) -> None:
    """A line for each method, and one for what an erratum's length does."""
    for line in cast(list[dict[str, Any]], record.tables["edit_exponents"]):
        console.print(
            f"{line['method']:16s} {line['seconds_shortest'] * 1e3:8.0f} ms at {line['shortest']} tokens, "
            f"{line['seconds_longest'] * 1e3:8.0f} ms at {line['longest']}: exponent {line['exponent']:.2f}"
        )
    console.print(f"erratum by its own tokens: exponent {record.headline['erratum_exponent_added']}")
