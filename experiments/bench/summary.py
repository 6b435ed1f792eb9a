"""From what the benchmark measured to its report."""

import statistics
from collections.abc import Sequence

from experiments.bench.edits import AddedTimes, EditTimes
from experiments.bench.grids import GridTimes
from experiments.bench.growth_report import growth_report
from experiments.bench.measure import Measured, PatchResults
from experiments.bench.patches import PatchTimes
from experiments.bench.peer_report import peer_report
from experiments.bench.settings import FULL, BenchSettings
from experiments.bench.speeds import half_precision, plans, shares
from experiments.bench.tables import (
    EditAdded,
    EditExponent,
    EditLatency,
    Grid,
    GridMemory,
    PatchMemory,
    Speed,
    WriteSpeed,
)
from experiments.bench.writes import WriteTimes
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import FREE, NOT_NEGATIVE, Bounds, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage
from pkv_interp.stats import Estimate
from pkv_interp.stats.slopes import exponent

#: Methods whose exponent the headlines state; the rest are in the table.
STATED = ("field_only", "erratum", FULL)


Part = tuple[list[Headline], list[TableRow]]


def summarise(found: Measured, _: Scoring[BenchSettings]) -> Report:
    """Ratios, exponents and memory; times do not depend on decisions, so no headline needs the gate."""
    parts: list[Part] = []
    if found.patches is not None:
        parts.append(_patches(found.patches))
    if found.edits is not None and found.added is not None:
        parts.append(_edits(found.edits, found.added))
    if found.writes is not None:
        lines = _write_lines(found.writes)
        parts.append((_writes(lines), [*lines]))
    if found.peers is not None:
        parts.append(peer_report(found.peers))
    if found.growth is not None:
        parts.append(growth_report(found.growth))
    if found.half is not None:
        parts.append(half_precision(found.half))
    if found.plans is not None:
        parts.append(plans(found.plans))
    if found.shares is not None:
        parts.append(shares(found.shares))
    return Report(
        headlines=[headline for headlines, _ in parts for headline in headlines],
        tables=[line for _, lines in parts for line in lines],
        rows=[],
    )


def _patches(patches: PatchResults) -> Part:
    speed = [line for name, times in patches.kinds.items() for line in _speed(name, times)]
    grids = [line for name, times in patches.grids.items() for line in _grid(name, times)]
    by_cell = patches.memory_by_patches
    return _ratios(speed, grids, patches.memory.peak_mb), [
        *speed,
        *map(PatchMemory, patches.memory.patches, patches.memory.peak_mb),
        *grids,
        *(
            GridMemory("layer_grid", n, by_cell.tokens, peak)
            for n, peak in zip(by_cell.patches, by_cell.peak_mb, strict=True)
        ),
    ]


def _edits(edits: Stage[EditTimes], errata: AddedTimes) -> Part:
    latency = [line for times in edits.all() for line in _latency(times)]
    added = [EditAdded(errata.tokens, t.added, t.repeat, t.seconds) for t in errata.times]
    methods = list(dict.fromkeys(line.method for line in latency))
    headlines = [
        *_growth(latency, methods),
        _headline(
            "erratum_exponent_added",
            exponent([line.added for line in added], [line.seconds for line in added]),
            "growth of an erratum's latency with its own tokens",
            FREE,
        ),
        *_speedups(latency),
    ]
    return headlines, [*latency, *(_exponent_line(latency, method) for method in methods), *added]


def _headline(name: str, estimate: Estimate, what: str, bounds: Bounds = NOT_NEGATIVE) -> Headline:
    return Headline(name, estimate, what, needs_gate=False, bounds=bounds)


def _over_repeats(value: float, n: int) -> Estimate:
    """A figure over ``n`` repeats of one piece of work, which give no interval over families."""
    return Estimate(value=value, n_families=1, n_instances=n)


def _middle(values: Sequence[float]) -> Estimate:
    return _over_repeats(statistics.median(values), len(values))


def _speed(name: str, times: PatchTimes) -> list[Speed]:
    return [
        Speed(
            name,
            repeat,
            times.patches,
            times.tokens,
            one.packed,
            one.one_by_one,
            one.plain_forward,
            one.one_by_one / one.packed,
            one.packed / one.plain_forward,
            one.difference,
        )
        for repeat, one in enumerate(times.rounds)
    ]


def _grid(name: str, times: GridTimes) -> list[Grid]:
    lines = []
    for repeat, one in enumerate(times.rounds):
        scaled = one.sample_seconds * times.cells / times.sample
        lines.append(
            Grid(
                work=name,
                repeat=repeat,
                cells=times.cells,
                positions=times.positions,
                tokens=times.tokens,
                packed_seconds=one.packed_seconds,
                packed_peak_mb=one.packed_peak_mb,
                sample=times.sample,
                sample_seconds=one.sample_seconds,
                one_by_one_seconds=scaled,
                one_by_one_peak_mb=one.one_by_one_peak_mb,
                speedup=scaled / one.packed_seconds,
                difference=one.difference,
            )
        )
    return lines


def _ratios(speed: Sequence[Speed], grids: Sequence[Grid], peak_mb: Sequence[float]) -> list[Headline]:
    kv, heads = ([line for line in speed if line.work == work] for work in ("kv", "heads"))
    positions, layers = ([x for x in grids if x.work == w] for w in ("position_grid", "layer_grid"))
    return [
        _headline("kv_patch_speedup", _middle([x.speedup for x in kv]), "one by one over packed, KV patches"),
        _headline(
            "head_patch_speedup", _middle([x.speedup for x in heads]), "one by one over packed, head patches"
        ),
        _headline(
            "limit_ratio", _middle([x.over_limit for x in kv]), "packed KV patches over a plain forward"
        ),
        _headline(
            "peak_memory_mb",
            _over_repeats(max(peak_mb), len(peak_mb)),
            "MiB over model and prefills, most KV patches",
        ),
        _headline(
            "position_grid_speedup",
            _middle([x.speedup for x in positions]),
            "one by one over packed, every position",
        ),
        _headline(
            "layer_grid_speedup",
            _middle([x.speedup for x in layers]),
            "one by one over packed, every layer and position",
        ),
    ]


def _latency(found: EditTimes) -> list[EditLatency]:
    full = {time.repeat: time.seconds for time in found.times if time.method == FULL}
    return [
        EditLatency(
            method=time.method,
            tokens=found.tokens,
            repeat=time.repeat,
            seconds=time.seconds,
            wall_ms=time.wall_ms,
            recomputed=time.recomputed,
            share=time.share,
            prompt_surgery=time.prompt_surgery,
            speedup=full[time.repeat] / time.seconds,
        )
        for time in found.times
    ]


def _exponent_of(lines: Sequence[EditLatency], method: str) -> Estimate:
    mine = [line for line in lines if line.method == method]
    return exponent([line.tokens for line in mine], [line.seconds for line in mine])


def _exponent_line(lines: Sequence[EditLatency], method: str) -> EditExponent:
    fitted = _exponent_of(lines, method)
    mine = [line for line in lines if line.method == method]
    ends = min(line.tokens for line in mine), max(line.tokens for line in mine)
    first, last = (statistics.median(line.seconds for line in mine if line.tokens == end) for end in ends)
    return EditExponent(method, fitted.value, fitted.ci_low, fitted.ci_high, *ends, first, last)


def _growth(lines: Sequence[EditLatency], methods: Sequence[str]) -> list[Headline]:
    return [
        _headline(
            f"{method}_exponent",
            _exponent_of(lines, method),
            f"growth of {method} latency with prompt length",
            FREE,
        )
        for method in STATED
        if method in methods
    ]


def _speedups(lines: Sequence[EditLatency]) -> list[Headline]:
    """Speed-ups of the stated methods over the full re-prefill, at the longest prompt."""
    longest = max(line.tokens for line in lines)
    out = []
    for method in STATED[:2]:
        speedups = [line.speedup for line in lines if line.method == method and line.tokens == longest]
        if speedups:
            what = f"full re-prefill over {method}, longest prompt"
            out.append(_headline(f"{method}_speedup", _middle(speedups), what))
    return out


def _write_lines(times: WriteTimes) -> list[WriteSpeed]:
    return [
        WriteSpeed(
            repeat=repeat,
            rows=times.rows,
            positions=times.positions,
            suffix=times.suffix,
            tokens=times.tokens,
            sample=times.sample,
            multiply_adds=times.multiply_adds,
            joined_seconds=one.joined,
            whole_layers_seconds=one.whole_layers,
            one_by_one_seconds=one.sample_seconds * times.rows / times.sample,
            matmul_seconds=one.matmul,
            speedup=one.whole_layers / one.joined,
            over_limit=one.joined / one.matmul,
            difference=one.difference,
        )
        for repeat, one in enumerate(times.rounds)
    ]


def _writes(lines: Sequence[WriteSpeed]) -> list[Headline]:
    return [
        _headline(
            "write_sweep_speedup",
            _middle([line.speedup for line in lines]),
            "whole layers over rows that come in at their layer, write sweep",
        ),
        _headline(
            "write_limit_ratio",
            _middle([line.over_limit for line in lines]),
            "write sweep over a plain product of the multiply-adds that it needs",
        ),
    ]
