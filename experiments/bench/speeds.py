"""Figures of the benchmark's parts about half precision, plans, and shares of a prefill."""

from collections.abc import Sequence
from dataclasses import dataclass

from experiments.bench.half import Half
from experiments.bench.planned import Plans
from experiments.bench.shares import Shares
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.stats import Estimate
from pkv_interp.stats.repeats import over_repeats, ratio_over_repeats


@dataclass(frozen=True)
class HalfLine(TableRow):
    """A prompt prefilled once in each dtype: seconds, and how far the decision's logits differ."""

    table = "half"
    work: str
    tokens: int
    repeat: int
    own_seconds: float
    narrow_seconds: float
    speedup: float
    difference: float
    largest_logit: float


@dataclass(frozen=True)
class HalfMargins(TableRow):
    """The check that a run makes: margins in logits, and whether bfloat16 would be taken with "auto"."""

    table = "half_margins"
    cases: int
    error: float
    share: float
    speedup: float
    trusted: bool
    chosen: bool


@dataclass(frozen=True)
class PlanLine(TableRow):
    """One part of a random model, planned and measured: MiB, or seconds where ``timed``."""

    table = "planned"
    width: int
    tokens: int
    part: str
    repeat: int
    timed: bool
    planned: float
    measured: float
    off: float


@dataclass(frozen=True)
class ShareLine(TableRow):
    """Part of a prompt run again: seconds beside a prefill's, and its share of the multiply-adds."""

    table = "shares"
    work: str
    tokens: int
    repeat: int
    share: float
    seconds: float
    prefill_seconds: float
    ratio: float


def half_precision(found: Half) -> tuple[list[Headline], list[TableRow]]:
    """Speed-up of the run's model at the longest prompt, and the largest move of a margin; a line each."""
    lines: list[TableRow] = [
        HalfLine(
            work=times.model,
            tokens=times.tokens,
            repeat=one.repeat,
            own_seconds=one.own,
            narrow_seconds=one.narrow,
            speedup=one.own / one.narrow,
            difference=one.difference,
            largest_logit=times.largest_logit,
        )
        for times in found.times
        for one in times.rounds
    ]
    if found.check is None or not found.times:
        return [], lines
    check = found.check
    margins = HalfMargins(
        check.cases, check.error, check.share, check.speedup, check.trusted, check.chosen("auto")
    )
    mine = [times for times in found.times if times.model == found.times[0].model]
    longest = max(mine, key=lambda times: times.tokens)
    ratios = [one.own / one.narrow for one in longest.rounds]
    return [
        _headline("bf16_speedup", ratio_over_repeats(ratios), "prefill in float32 over bfloat16, longest"),
        _headline("bf16_error", over_repeats([check.error]), "logits that bfloat16 moves a margin by"),
    ], [*lines, margins]


def plans(found: Plans) -> tuple[list[Headline], list[TableRow]]:
    """How far plans are off, in time and in the memory of packed rows; held parts are in the table."""
    lines: list[TableRow] = [
        PlanLine(p.width, found.tokens, p.part, p.repeat, p.timed, p.planned, p.measured, p.off)
        for p in found.parts
    ]
    timed = [part.off for part in found.parts if part.timed]
    packed = [part.off for part in found.parts if part.part == "packed rows"]
    return [
        _headline("plan_error", over_repeats(timed), "planned time off by, as a share of measured"),
        _headline("plan_memory_error", over_repeats(packed), "planned memory of packed rows off by"),
    ], lines


def shares(found: Shares) -> tuple[list[Headline], list[TableRow]]:
    """Time over share of multiply-adds, at the longest prompt, for each kind of work."""
    lines: list[TableRow] = [
        ShareLine(t.work, t.tokens, t.repeat, t.share, t.seconds, t.prefill_seconds, t.ratio)
        for t in found.times
    ]
    longest = max(time.tokens for time in found.times)

    def of(work: str) -> Sequence[float]:
        return [t.ratio for t in found.times if t.work == work and t.tokens == longest]

    named = {
        "suffix_share_ratio": ("suffix_recompute", "a suffix's time over its share of a prefill"),
        "chunk_repair_share_ratio": ("chunk_repair", "repaired seams' time over their share of a prefill"),
        "cacheblend_share_ratio": ("cacheblend", "CacheBlend's time over its share of a prefill"),
    }
    return [
        _headline(name, ratio_over_repeats(of(work)), what) for name, (work, what) in named.items()
    ], lines


def _headline(name: str, estimate: Estimate, what: str) -> Headline:
    return Headline(name, estimate, what, needs_gate=False, bounds=NOT_NEGATIVE)
