"""The serving experiment with vLLM on the CPU, in small; run by ``make serving-vllm``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from experiments.serving.settings import PLAIN, SPLICE
from pkv_interp.records import load_records
from tests import runs
from tests.serving.vllm_engine import ENVIRONMENT
from tests.serving.wide import wide

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(
        "PKV_VLLM" not in os.environ or not (ENVIRONMENT / ".ready").exists(),
        reason="vLLM takes minutes: make serving-vllm",
    ),
]


def test_every_arm_and_every_fault_in_vllm(tmp_path: Path) -> None:
    wide("llama", tmp_path / "model")
    model = ("model=local", f"model.path={tmp_path / 'model'}", "engine=vllm")
    runs.inside("serving", *runs.last(*runs.SERVING, *model, f"results_dir={tmp_path / 'results'}"))
    (record,) = load_records(tmp_path / "results")
    assert record.status == "success"
    controls = {control.name: control.value for control in record.controls}
    assert controls["server_says_what_model_says"] < 1e-4
    assert controls["hits_equal_counters"] <= 0.001
    assert [line["arm"] for line in record.tables["arms"]] == [*PLAIN, "field_only", "recompute@4", SPLICE]
    assert len(record.tables["faults"]) == 4
