"""LoRA adapters: merged exactly, recorded, and refused where they do not fit."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, get_peft_model

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import PACKAGED, find_adapter, merge_adapter
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.hashing import weight_sha256
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import load_local, save_adapter, save_tiny

IDS = torch.tensor([[1, 300, 400, 500, 350]])


@pytest.mark.parametrize("lora", [{}, {"use_rslora": True, "r": 8}, {"lora_alpha": 32}])
def test_the_merge_is_exact(tmp_path: Path, lora: dict[str, Any]) -> None:
    save_tiny(tmp_path / "base")
    unmerged = save_adapter(tmp_path / "lora", **lora)
    base, merged = (
        load_local(tmp_path / "base"),
        load_local(tmp_path / "base", adapter=str(tmp_path / "lora")),
    )
    want, got = unmerged(IDS).logits, merged.model(IDS).logits
    assert (got - want).abs().max() < 1e-4
    assert (got - base.model(IDS).logits).abs().max() > 0.1
    assert merged.info.weight_sha256 != base.info.weight_sha256
    file = tmp_path / "lora" / "adapter_model.safetensors"
    assert merged.info.adapter_sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert base.info.adapter_sha256 is None


def test_nothing_of_peft_is_left_and_the_random_state_is_kept(tmp_path: Path) -> None:
    save_adapter(tmp_path)
    model, _ = tiny_model("llama", 0)
    names = [name for name, _ in model.named_parameters()]
    before = torch.get_rng_state()
    merged, _ = merge_adapter(model, tmp_path)
    assert torch.equal(before, torch.get_rng_state())
    assert type(merged) is type(model)
    assert [name for name, _ in merged.named_parameters()] == names
    assert not hasattr(merged, "peft_config")


def test_merging_twice_from_the_start_gives_the_same_weights(tmp_path: Path) -> None:
    save_adapter(tmp_path)
    hashes = {weight_sha256(merge_adapter(tiny_model("llama", 0)[0], tmp_path)[0]) for _ in range(2)}
    assert len(hashes) == 1


def test_no_pickle_is_opened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was opened")

    save_adapter(tmp_path)
    model, _ = tiny_model("llama", 0)
    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    assert len(merge_adapter(model, tmp_path)[1]) == 64


def test_a_packaged_adapter_is_found_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save_adapter(tmp_path / "mine")
    monkeypatch.setattr("pkv_interp.models.adapter.PACKAGED", tmp_path)
    (tmp_path / "run" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert find_adapter("mine") == tmp_path / "mine"


def test_a_missing_packaged_adapter_names_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert PACKAGED.parts[-2:] == ("pkv_interp", "data")
    monkeypatch.setattr("pkv_interp.models.adapter.PACKAGED", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PkvError) as caught:
        find_adapter("gate_smollm2_135m")
    assert f"{tmp_path / 'gate_smollm2_135m'} is missing" in str(caught.value)
    assert "python -m experiments.train_gate" in caught.value.hint


def test_directories_that_are_no_adapters(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match=r"none is missing; set model\.adapter"):
        find_adapter(str(tmp_path / "none"))
    save_adapter(tmp_path)
    (tmp_path / "adapter_model.safetensors").rename(tmp_path / "adapter_model.bin")
    with pytest.raises(PkvError, match=r"has no adapter_model\.safetensors"):
        find_adapter(str(tmp_path))


def test_an_adapter_is_missed_before_the_weights_are_read(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="adapter directory .*none is missing"):
        load_local(tmp_path / "nowhere", adapter=str(tmp_path / "none"))


@pytest.mark.parametrize("family", ["gemma3", "phi3"])
def test_an_adapter_of_another_model_is_refused(tmp_path: Path, family: str) -> None:
    save_adapter(tmp_path)
    with pytest.raises(PkvError, match="use the model it was trained on") as caught:
        merge_adapter(tiny_model(family, 0)[0], tmp_path)
    assert "\n" not in str(caught.value)


def test_an_adapter_with_weights_too_many_is_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path, family="gemma3")
    with pytest.raises(PkvError, match="disagree on|does not fit"):
        merge_adapter(tiny_model("llama", 0)[0], tmp_path)


def test_a_damaged_or_foreign_adapter_is_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path / "cut")
    file = tmp_path / "cut" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(PkvError, match="is damaged"):
        merge_adapter(tiny_model("llama", 0)[0], tmp_path / "cut")
    wrapped: Any = get_peft_model(
        tiny_model("llama", 0)[0],
        IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[]),
    )
    wrapped.save_pretrained(tmp_path / "ia3")
    with pytest.raises(PkvError, match="IA3, not LoRA"):
        merge_adapter(tiny_model("llama", 0)[0], tmp_path / "ia3")


@pytest.mark.slow
def test_the_gate_adapter_changes_the_real_model(
    real_model: LoadedModel, load_once: Callable[[ModelConfig], LoadedModel]
) -> None:
    info = real_model.info
    base = load_once(load_catalogue_entry("smollm2-135m-base", device="cpu", dtype="float32")).info
    assert info.weight_sha256 != base.weight_sha256
    assert info.adapter_sha256 is not None
    assert (info.source, info.quantised, info.quantised_in_memory) == (
        "embedded",
        "Q4_1 (dequantised)",
        False,
    )
    assert (real_model.spec.n_layers, real_model.spec.n_heads, real_model.spec.n_kv_heads) == (30, 9, 3)
