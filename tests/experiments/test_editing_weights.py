"""The weight edits of the editing experiment, on every tiny family that has a plain MLP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from experiments._editing_weights import WeightSettings, weight_edits
from experiments._editing_weights_arms import CACHE, ROME, WEIGHTS
from experiments.editing import EditingSettings
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import Run, RunStore
from pkv_interp.tasks import BY_NAME
from tests import runs
from tests.experiments.configs import compose
from tests.families import FAMILIES, tiny

CHOSEN = [BY_NAME[name] for name in ("orders", "support", "alerts", "posts")]
SMALL = WeightSettings(
    corpus_tokens=500, discovery=1, others=2, decisions=2, value_steps=2, lora_steps=2, latency_repeats=1
)


def opened(loaded: LoadedModel, results: Path) -> Run:
    model = loaded.config.model_dump(mode="json")
    return RunStore(results).open(experiment="editing", model=model, config={}, seed=0, resume=True)


def run_small(loaded: LoadedModel, results: Path) -> tuple[Run, list[dict[str, Any]]]:
    settings = compose("editing", *runs.EDITING).model_copy(update={"model": loaded.config})
    assert isinstance(settings, EditingSettings)
    with opened(loaded, results) as run:
        run.set_model(loaded.info.model_dump(mode="json"))
        lines = weight_edits(run, loaded, settings, SMALL, CHOSEN)
    return run, lines


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "gpt-oss"])
def test_every_method_is_measured_on_every_record_and_the_model_is_left_alone(family: str, tmp_path: Path):
    loaded = tiny(family)
    before = {name: t.clone() for name, t in loaded.model.state_dict().items()}
    run, lines = run_small(loaded, tmp_path)
    assert [line["method"] for line in lines] == [*CACHE, *WEIGHTS]
    for line in lines:
        assert (line["n_families"], line["n_instances"]) == (2, 2)
        for share in ("success", "rephrased", "contamination", "collateral"):
            assert 0.0 <= line[f"{share}_ci_low"] <= line[share] <= line[f"{share}_ci_high"] <= 1.0
        assert line["latency_ms"] > 0.0
        if line["edits"] == "cache":
            assert (line["contamination"], line["collateral"]) == (0.0, 0.0)
    after = loaded.model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], t) for name, t in before.items())
    record = run.record
    assert {row.family for row in record.rows} == {"alerts", "posts"}
    layers = record.tables["weight_layers"]
    for arm in ROME:
        assert sum(bool(line["chosen"]) for line in layers if line["arm"] == arm) == 1
    (setup,) = record.tables["weight_setup"]
    assert setup["competent"] is False  # random weights, whatever they happen to decide
    assert setup["covariance_width"] == loaded.model.config.intermediate_size
    assert float(str(setup["rome_record_condition"])) <= 1e4 * 1.001


def test_a_mixture_of_experts_and_quantised_weights_are_refused(tmp_path: Path):
    with pytest.raises(PkvError, match="no plain linear down projection"):
        run_small(tiny("gpt-oss"), tmp_path / "a")
    loaded = tiny("llama")
    held = LoadedModel(
        loaded.model,
        loaded.tokenizer,
        loaded.spec,
        loaded.info.model_copy(update={"quantised_in_memory": True, "quantised": "nf4"}),
        loaded.config,
    )
    with pytest.raises(PkvError, match="weight editing reads weights, and tiny-llama holds them as nf4"):
        run_small(held, tmp_path / "b")
