"""Plans against what models hold and what a counter of operations counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pkv_interp.engine import Engine
from pkv_interp.engine.keeping import capture_bytes
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import catalogue_names, load_catalogue_entry
from pkv_interp.planning import (
    Shape,
    Sizes,
    Throughput,
    circuit_stages,
    decode_work,
    prefill_work,
    shape_of,
    throughput,
)
from pkv_interp.planning.memory import column_bytes, packed_bytes, weight_bytes
from pkv_interp.planning.throughput import measured_throughput
from tests.families import FAMILIES, ids_of, tiny
from tests.models.saved import save_tiny

#: Billions of parameters, as published.
PARAMETERS = {
    "llama-3.1-8b": 8.03,
    "llama-3.1-70b": 70.55,
    "mistral-7b": 7.25,
    "gemma-2-2b": 2.61,
    "gemma-2-9b": 9.24,
    "gemma-2-27b": 27.23,
    "qwen3-0.6b": 0.596,
    "qwen3-4b": 4.02,
    "qwen3-8b": 8.19,
    "qwen3-14b": 14.77,
    "qwen3-32b": 32.76,
    "qwen3-30b-a3b": 30.53,
    "smollm2-135m": 0.1345,
    "smollm2-360m": 0.3618,
    "smollm2-1.7b": 1.711,
    "qwen2.5-coder-0.5b": 0.494,
    "qwen2.5-coder-1.5b": 1.544,
    "gemma3-270m-gate": 0.268,
}
#: Models that the engine does not read: their prompts alone are, by experiments.architectures.
UNTRACED = {
    *("falcon-h1-1.5b", "falcon-mamba-7b", "qwen3-next-80b-a3b", "deepseek-v2-lite", "deepseek-coder-v2-lite")
}
#: Models with pictures, which no planned experiment reads.
PICTURES = {"vision-untrained", "vision-tiny", "qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen3-vl-8b"}
SIZES = Sizes(137, 76, discovery=24, held_out=24, sweeps=4, writing=8, set_sizes=6, draws=20, shares=9)


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_listed_shapes_have_the_published_number_of_parameters(name: str) -> None:
    shape = shape_of(load_catalogue_entry(name))
    assert shape.n_parameters / 1e9 == pytest.approx(PARAMETERS[name], rel=2e-3)


def test_every_model_of_the_catalogue_with_a_name_can_be_planned() -> None:
    own = {"local", "gguf", "tiny-table"}
    for name in set(catalogue_names()) - own - UNTRACED - PICTURES - set(PARAMETERS):
        assert shape_of(load_catalogue_entry(name)).n_layers > 0


@pytest.mark.parametrize("name", sorted(UNTRACED | {"tiny-table"}))
def test_what_the_engine_does_not_read_is_not_planned(name: str) -> None:
    with pytest.raises(PkvError, match="there is no plan of it|is a table of models"):
        shape_of(load_catalogue_entry(name))


def test_a_mixture_multiplies_the_experts_that_a_token_is_sent_to() -> None:
    shape = shape_of(load_catalogue_entry("qwen3-30b-a3b"))
    active = shape.n_layers * shape.layer_macs + shape.head_macs
    assert active / 1e9 == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"gpt-oss"}))
def test_multiply_adds_are_those_that_a_counter_counts(family: str) -> None:
    model = tiny(family, attention="eager").model
    shape = Shape.of(model)
    for tokens in (1, 9):
        with FlopCounterMode(display=False) as counted, torch.no_grad():
            model(input_ids=torch.arange(300, 300 + tokens)[None], logits_to_keep=1)
        # Eager attention computes every pair of tokens, seen or not; rotary angles are multiplied too.
        unseen = 2 * shape.n_layers * shape.n_heads * shape.head_dim * tokens * (tokens - 1) / 2
        assert counted.get_total_flops() / 2 == pytest.approx(
            prefill_work(shape, tokens).macs + unseen, rel=1e-3
        )


def test_a_suffix_and_its_prefix_make_up_a_prefill() -> None:
    shape = Shape.of(tiny("gemma3", window=64).model)
    whole = prefill_work(shape, 100).macs + shape.head_macs
    assert prefill_work(shape, 70).macs + prefill_work(shape, 30, 70).macs == pytest.approx(whole)
    blind = replace(shape, windows=(None,) * shape.n_layers)
    assert prefill_work(blind, 100).macs > prefill_work(shape, 100).macs


@pytest.mark.parametrize("family", FAMILIES)
def test_memory_is_what_prompts_hold(family: str) -> None:
    loaded = tiny(family)
    shape, n = Shape.of(loaded.model), 21
    found = Engine(loaded).prefill(ids_of(loaded, n, 0), {"prefill"})
    captured = [found.need(name) for name in ("z_all", "mlp_all", "resid_all", "resid_mid_all")]
    assert capture_bytes(shape, n, 4) == sum(t.numel() * 4 for t in captured)
    assert column_bytes(shape, n - 1, 4) == found.cache.nbytes
    assert weight_bytes(shape, 4) == sum(p.numel() * 4 for p in loaded.model.parameters())
    assert weight_bytes(shape, 2, four_bit=True) < weight_bytes(shape, 2)


def test_packed_rows_fit_the_bound_that_is_given() -> None:
    shape = shape_of(load_catalogue_entry("llama-3.1-8b"))
    free = packed_bytes(shape, 1000, 1, 900, 2)
    tight = packed_bytes(shape, 1000, 1, 900, 2, limit=free // 3)
    assert tight <= free // 3 < free
    assert packed_bytes(shape, 1000, 1, 900, 2, limit=1) == packed_bytes(shape, 1, 1, 900, 2)


def test_stages_grow_with_what_is_asked() -> None:
    shape, speed = shape_of(load_catalogue_entry("llama-3.1-8b")), Throughput(1e12, 1e-4)
    few, many = (circuit_stages(shape, replace(SIZES, sweeps=n)) for n in (2, 6))
    assert [stage.name for stage in few] == ["sites", "reading", "write sweep", "writing"]
    took = [[speed.seconds(stage.total) for stage in stages] for stages in (few, many)]
    assert took[1][2] == pytest.approx(3 * took[0][2])
    assert [a for i, a in enumerate(took[0]) if i != 2] == [b for i, b in enumerate(took[1]) if i != 2]
    swept, whole = (decode_work(shape, 100, 137, tokens=9, swept=s).macs for s in (True, False))
    assert 0.4 < swept / whole < 0.6
    assert decode_work(shape, 0, 137).macs == 0


def test_a_throughput_is_a_rate_and_a_cost_per_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The narrow model takes 0.02 s and has two blocks, the wide one 1.02 s: 1 s for its products."""
    shape = Shape.of(tiny("llama").model)
    ran: list[tuple[Shape, int]] = []

    def clock(model: Any, tokens: int, *_: object) -> float:
        ran.append((Shape.of(model), tokens))
        return 0.02 if tokens == 1 else 1.02

    monkeypatch.setattr(throughput, "_time", clock)
    before = torch.get_rng_state()
    found = measured_throughput(shape, torch.float32, torch.device("cpu"))
    assert torch.equal(before, torch.get_rng_state())
    (_, one), (wide, many) = ran
    assert (one, many) == (1, throughput.TOKENS)
    assert (wide.d_model, wide.mlp_width) == (shape.d_model, shape.mlp_width)
    assert found.seconds_per_block == pytest.approx(0.01)
    assert found.macs_per_second == pytest.approx(prefill_work(wide, many).macs)
    assert found.seconds(prefill_work(wide, many).times(3)) == pytest.approx(3 * 1.02)


def test_a_throughput_is_measured_on_forwards() -> None:
    found = measured_throughput(Shape.of(tiny("llama").model), torch.float32, torch.device("cpu"), repeats=1)
    # Between a pocket calculator and any machine there is.
    assert 1e4 < found.macs_per_second < 1e16
    assert 1e-7 < found.seconds_per_block < 10


def test_a_folder_is_planned_by_its_config_and_what_is_nowhere_is_told(tmp_path: Path) -> None:
    model = save_tiny(tmp_path / "mine")
    entry = load_catalogue_entry("local", path=str(tmp_path / "mine"))
    assert shape_of(entry) == Shape.of(model)
    with pytest.raises(PkvError, match="does not exist"):
        shape_of(load_catalogue_entry("local", path=str(tmp_path / "none")))
