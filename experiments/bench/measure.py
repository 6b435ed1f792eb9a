"""How fast are the packed engine and the edits? Patches packed and one by one, edits against re-prefill."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pydantic import PositiveInt, field_validator
from rich.console import Console

from experiments._bench_edits import edits, tell_edits
from experiments._bench_grids import grids, middle, tolerance
from experiments._cli import Settings, entry
from experiments._fields import rising
from experiments._setup import gather_controls, open_engine, open_run
from pkv_interp.editing.registry import find
from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, Row
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.records import Run, RunRecord
from pkv_interp.reference.sequential import Sequential
from pkv_interp.stats import Estimate
from pkv_interp.tasks import FAMILIES, Style, polarity_case


class BenchSettings(Settings):
    """Settings of this experiment; configs/bench.yaml says what each means."""

    n_fillers: int
    patches: PositiveInt
    repeats: PositiveInt
    grid_sample: PositiveInt
    memory_patches: tuple[PositiveInt, ...]
    edit_lengths: tuple[PositiveInt, ...]
    edit_methods: tuple[str, ...]
    edit_added: tuple[PositiveInt, ...]

    @field_validator("edit_methods")
    @classmethod
    def _methods_exist(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            find(name, {})
        return names

    @field_validator("edit_lengths", "edit_added")
    @classmethod
    def _several_and_rising(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        if len(values) < 2:
            raise ValueError("an exponent needs two lengths or more")
        return rising(values)


def kv_rows(pair: PairRun, n: int, n_layers: int, seed: int) -> list[Row]:
    """Random KV patches: a band of layers, a run of positions, keys, values or both."""
    rng = np.random.default_rng([seed, n])
    rows: list[Row] = []
    for _ in range(n):
        first, last = sorted(int(i) for i in rng.integers(n_layers, size=2))
        start = int(rng.integers(pair.clean.length - 9))
        part = ("K", "V", "KV")[int(rng.integers(3))]
        rows.append((KVPatch(tuple(range(start, start + 8)), 0, tuple(range(first, last + 1)), part),))
    return rows


def head_rows(n: int, engine: Engine, seed: int) -> list[Row]:
    """Random single-head patches at the decision token."""
    rng = np.random.default_rng([seed, n, 1])
    return [
        (HeadPatch(int(rng.integers(engine.spec.n_layers)), int(rng.integers(engine.spec.n_heads)), 0),)
        for _ in range(n)
    ]


def plain_forward(engine: Engine, pair: PairRun, n: int) -> None:
    """One plain forward of n tokens over the same prefix: what packing cannot beat."""
    ids = torch.tensor([[pair.corrupt.ids[-1]] * n], device=pair.corrupt.logits.device)
    with torch.no_grad():
        engine.loaded.model(
            input_ids=ids, past_key_values=pair.corrupt.cache.view(), use_cache=True, logits_to_keep=n
        )


def compare(
    run: Run, settings: BenchSettings, engine: Engine, pair: PairRun, name: str, rows: Sequence[Row]
) -> list[dict[str, Any]]:
    """Time both routes in turn, ``repeats`` times, and check that they agree."""
    device = pair.corrupt.logits.device
    twin = Sequential(engine.loaded)
    ids = pair.case.action_ids
    engine.decode(pair.corrupt, rows, (pair.clean,), ids)  # first use parses and compiles the trace
    lines = []
    for repeat in range(settings.repeats):
        packed, fast = seconds(lambda: engine.decode(pair.corrupt, rows, (pair.clean,), ids), device)
        single, slow = seconds(lambda: twin.decode(pair.corrupt, rows, (pair.clean,), ids), device)
        limit, _ = seconds(lambda: plain_forward(engine, pair, len(rows)), device)
        difference = float((fast.logits - slow.logits).abs().max())
        lines.append(
            {
                "work": name,
                "repeat": repeat,
                "patches": len(rows),
                "tokens": pair.clean.length,
                "packed_seconds": packed,
                "one_by_one_seconds": single,
                "plain_forward_seconds": limit,
                "speedup": single / packed,
                "over_limit": packed / limit,
                "difference": difference,
            }
        )
    run.control(
        f"packed_equals_one_by_one_{name}",
        max(line["difference"] for line in lines),
        0.0,
        tolerance(engine),
        f"logits, {len(rows)} patches",
    )
    return lines


def bench(settings: BenchSettings) -> RunRecord:
    """Run the benchmark and record it."""
    console = Console(stderr=True)
    with open_run("bench", settings) as run:
        if not run.done:
            engine = open_engine(settings, run)
            measure(run, settings, engine)
    for line in run.record.tables["speed"]:
        console.print(
            f"{line['work']:10s} {line['patches']:5d} patches, {line['tokens']} tokens: packed "
            f"{line['packed_seconds']:.2f} s, one by one {line['one_by_one_seconds']:.2f} s, "
            f"ratio {line['speedup']:.1f}; plain forward {line['plain_forward_seconds']:.2f} s"
        )
    for line in run.record.tables["grids"]:
        console.print(
            f"{line['work']:13s} {line['cells']:6d} patches, {line['tokens']} tokens: packed "
            f"{line['packed_seconds']:.2f} s and {line['packed_peak_mb']:.0f} MiB, one by one "
            f"{line['one_by_one_seconds']:.1f} s (from {line['sample']}) and "
            f"{line['one_by_one_peak_mb']:.0f} MiB, ratio {line['speedup']:.1f}"
        )
    for line in run.record.tables["memory_by_patches"]:
        console.print(
            f"{line['patches']} patches: peak {line['peak_mb']:.0f} MiB over the model and prefills"
        )
    tell_edits(console, run.record)
    console.print(f"record: {run.record.path}", soft_wrap=True)
    return run.record


def measure(run: Run, settings: BenchSettings, engine: Engine) -> None:
    """Ratios for KV and head patches, the whole head grid, and peak memory against the number of patches."""
    style = Style(n_fillers=settings.n_fillers, thinking=settings.model.thinking)
    case = polarity_case(FAMILIES[0], 0, engine.loaded.tokenizer, seed=settings.seed, style=style)
    gather_controls(run, engine, [case])
    pair = run_pair(engine, case, ())
    spec, device = engine.spec, pair.corrupt.logits.device
    kv = compare(
        run, settings, engine, pair, "kv", kv_rows(pair, settings.patches, spec.n_layers, settings.seed)
    )
    heads = compare(run, settings, engine, pair, "heads", head_rows(settings.patches, engine, settings.seed))
    grid: list[Row] = [(HeadPatch(la, h, 0),) for la in range(spec.n_layers) for h in range(spec.n_heads)]
    full, _ = seconds(lambda: engine.decode(pair.corrupt, grid, (pair.clean,), case.action_ids), device)
    run.tables["speed"] = kv + heads
    run.tables["head_grid"] = [{"heads": len(grid), "seconds": full}]
    run.tables["memory"] = [
        {
            "patches": n,
            "peak_mb": peak_megabytes(
                lambda n=n: engine.decode(
                    pair.corrupt,
                    kv_rows(pair, n, spec.n_layers, settings.seed),
                    (pair.clean,),
                    case.action_ids,
                ),
                device,
            ),
        }
        for n in settings.memory_patches
    ]
    run.headline |= {
        "kv_patch_speedup": middle(kv, "speedup"),
        "head_patch_speedup": middle(heads, "speedup"),
        "limit_ratio": middle(kv, "over_limit"),
        "peak_memory_mb": Estimate(
            value=max(line["peak_mb"] for line in run.tables["memory"]),
            n_families=1,
            n_instances=len(settings.memory_patches),
        ),
    }
    grids(run, settings, engine, pair)
    edits(run, settings, engine.loaded)


main = entry("bench", BenchSettings)(bench)

if __name__ == "__main__":
    main()
