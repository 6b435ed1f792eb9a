"""A small valid record, and the ways to spoil it, shared by the tests of this folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkv_interp.records import Competence, Row, Run, RunStore
from pkv_interp.stats import Estimate, mean

MODEL = {"name": "tiny-llama", "source": "tiny", "dtype": "float32", "device": "cpu"}
INFO = {
    "revision": None,
    "weight_sha256": "ab" * 32,
    "device": "cpu",
    "dtype": "torch.float32",
    "attention": "sdpa",
    "random_weights": True,
}
CONFIG: dict[str, Any] = {"n_instances": 4, "top_k": [1, 2, 4], "results_dir": "somewhere"}
FAMILIES = ("alpha", "beta", "gamma")


def open_run(results: Path, **changes: Any) -> Run:
    arguments: dict[str, Any] = {"experiment": "probe", "model": MODEL, "config": CONFIG, "seed": 0}
    return RunStore(results).open(**arguments | changes)


def fill(run: Run) -> None:
    """What an experiment does between opening and closing."""
    run.set_model(INFO)
    run.control("self_patch", 0.0, 0.0, 1e-6)
    run.control("full_patch", 1.0000001, 1.0, 1e-3, "ratio of means")
    run.noise_floor["margin"] = 2e-5
    accuracy = mean([1.0, 1.0, 1.0, 1.0], ["alpha", "alpha", "beta", "gamma"])
    run.competence = Competence(accuracy=accuracy, per_value={"gold": 1.0}, threshold=0.9, passed=True)
    for family in FAMILIES:
        for arm, patched in (("trigger_only", 0.1), ("notes_only", 3.9)):
            run.rows.append(
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
            )
    run.headline["notes_only"] = Estimate(value=0.99, ci_low=0.9, ci_high=1.1, n_families=3, n_instances=3)
    run.tables["top_heads"] = [{"layer": 1, "head": 2, "effect": 0.25}]
    run.arrays["effects"] = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    run.arrays["grid"] = np.eye(2)


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
