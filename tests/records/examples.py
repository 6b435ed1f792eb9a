"""A small valid record, and the ways to spoil it, shared by the tests of this folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from pkv_interp.records import Competence, Control, HeadlineFigure, Row, Run, RunStore
from pkv_interp.records.archive import Head
from pkv_interp.records.code import Code
from pkv_interp.records.environment import environment
from pkv_interp.records.key import Asked, asked
from pkv_interp.records.run import control
from pkv_interp.stats import mean

MODEL = {"name": "tiny-llama", "source": "tiny", "dtype": "float32", "device": "cpu"}
INFO: dict[str, str | int | float | bool | None] = {
    "revision": None,
    "weight_sha256": "ab" * 32,
    "device": "cpu",
    "dtype": "float32",
    "attention": "sdpa",
    "random_weights": True,
}
CONFIG: dict[str, Any] = {"n_instances": 4, "top_k": [1, 2, 4], "bootstrap_draws": 200, "results_dir": "x"}
FAMILIES = ("alpha", "beta", "gamma")
MEASURING, SUMMARY = Code(("a.measure",), "c" * 64), Code(("a.summary",), "d" * 64)


@dataclass(frozen=True)
class Measured:
    """What this made-up experiment measures."""

    margins: Float[np.ndarray, " cases"]
    note: str = "x"


def question(**changes: Any) -> Asked:
    """What a run is asked for; ``config`` changes single settings, other names change the rest."""
    config = CONFIG | {"model": MODEL | changes.pop("model", {})} | changes.pop("config", {})
    late: dict[str, Any] = {"summary_only": ("bootstrap_draws",)}
    given: dict[str, Any] = {"experiment": "probe", "weights": "w", "seed": 0} | late | changes
    return asked(given.pop("experiment"), config, **given)


def open_run(results: Path, *, resume: bool = True, summary: Code = SUMMARY, **changes: Any) -> Run:
    """Open a run of the made-up experiment."""
    wanted = question(**changes)
    return RunStore(results).open(wanted, wanted.keys(MEASURING, summary), resume=resume)


def measure(run: Run, *, info: Mapping[str, Any] = INFO) -> None:
    """What measuring leaves: controls, facts, the archive."""
    run.note("self_patch", 0.0, 0.0, 1e-6)
    run.note("full_patch", 1.0000001, 1.0, 1e-3, "ratio of means")
    about = environment(device="cpu", dtype="float32", attention="sdpa")
    head = Head(dict(info), tuple(run.controls), {"margin": 2e-5}, about, seconds=1.5)
    run.keep(head, Measured(np.arange(3.0)), Measured)


def filled(controls: list[Control] | None = None) -> dict[str, Any]:
    """What a summary puts into the record."""
    accuracy = mean([1.0, 1.0, 1.0, 1.0], ["alpha", "alpha", "beta", "gamma"])
    rows = [
        Row(
            family=family,
            split="held_out",
            instance=f"{family}/0",
            wording="plain",
            arm=arm,
            clean=4.0,
            corrupt=-4.0,
            patched=patched,
            extra={"layer": 3, "kept": True, "share": 0.5, "label": "x", "none": None},
        )
        for family in FAMILIES
        for arm, patched in (("trigger_only", 0.1), ("notes_only", 3.9))
    ]
    figure = HeadlineFigure(
        value=0.99, ci_low=0.9, ci_high=1.1, n_families=3, n_instances=3, what="KV after the trigger"
    )
    return {
        "rows": rows,
        "headline": {"notes_only": figure},
        "tables": {"top_heads": [{"layer": 1, "head": 2, "effect": 0.25}]},
        "competence": Competence(accuracy=accuracy, per_value={"gold": 1.0}, threshold=0.9, passed=True),
        "controls": controls
        or [
            control("self_patch", 0.0, 0.0, 1e-6),
            control("full_patch", 1.0000001, 1.0, 1e-3, "ratio of means"),
        ],
    }


ARRAYS: dict[str, Any] = {"effects": torch.arange(6, dtype=torch.float32).reshape(2, 3), "grid": np.eye(2)}


def fill(run: Run, **changes: Any) -> None:
    """Measure and summarise."""
    if run.measured is None:
        measure(run)
    else:
        run.archive(Measured)
    run.succeed(filled() | changes, ARRAYS)


def finished(results: Path, **changes: Any) -> Path:
    """Path of the record of a finished run."""
    with open_run(results, **changes) as run:
        if not run.done:
            fill(run)
    return run.path


def spoil(path: Path, pointer: str, value: Any) -> None:
    """Set the value at ``pointer`` (made of existing steps, but for the last) to ``value``."""
    document = json.loads(path.read_text())
    *steps, last = pointer.strip("/").split("/")
    here: Any = document
    for step in steps:
        here = here[int(step)] if isinstance(here, list) else here[step]
    here[int(last) if isinstance(here, list) else last] = value
    path.write_text(json.dumps(document))
