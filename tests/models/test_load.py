"""The loader: what it records, and what it tells when something is wrong."""

import importlib.util
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    SiglipVisionConfig,
)

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.checkpoint import Placement, read_checkpoint
from pkv_interp.models.load import load, place
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import load_local, save_tiny

IDS = torch.tensor([[1, 300, 400, 500, 350]])


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    save_tiny(tmp_path / "llama")
    return tmp_path / "llama"


def test_a_saved_model_comes_back_with_the_same_hash(checkpoint: Path) -> None:
    first, second = load_local(checkpoint), load_local(checkpoint)
    built = load(load_catalogue_entry("tiny-llama", device="cpu"))
    assert first.info.weight_sha256 == second.info.weight_sha256 == built.info.weight_sha256
    assert torch.equal(first.model(IDS).logits, built.model(IDS).logits)
    assert (first.info.source, first.info.random_weights, first.info.quantised) == ("local", False, None)
    assert (first.info.dtype, first.info.device, first.info.attention) == ("float32", "cpu", "sdpa")
    assert first.info.n_parameters == sum(p.numel() for p in first.model.parameters())
    assert first.spec == built.spec
    assert not first.model.training
    assert not any(p.requires_grad for p in first.model.parameters())


def test_one_changed_weight_changes_the_hash(checkpoint: Path) -> None:
    before = load_local(checkpoint).info.weight_sha256
    model, _ = tiny_model("llama", 0)
    model.model.layers[2].mlp.up_proj.weight[3, 5] += 1e-4
    model.save_pretrained(checkpoint)
    assert load_local(checkpoint).info.weight_sha256 != before


def test_dtype_and_attention_are_those_asked_for(checkpoint: Path) -> None:
    half = load_local(checkpoint, dtype="bfloat16", attention="eager")
    assert (half.info.dtype, half.info.attention) == ("bfloat16", "eager")
    assert {p.dtype for p in half.model.parameters()} == {torch.bfloat16}
    assert half.info.weight_sha256 != load_local(checkpoint).info.weight_sha256
    tiny = load(load_catalogue_entry("tiny-qwen3", device="cpu", dtype="bfloat16"))
    assert {p.dtype for p in tiny.model.parameters()} == {torch.bfloat16}


def test_attention_that_the_architecture_lacks(tmp_path: Path) -> None:
    save_tiny(tmp_path, "gemma2")
    assert load_local(tmp_path).info.attention == "eager"
    with pytest.raises(PkvError, match="does not support an attention implementation"):
        load_local(tmp_path, attention="sdpa")


@pytest.mark.parametrize(
    ("cuda", "mps", "device", "dtype"),
    [
        (True, False, "cuda", torch.bfloat16),
        (False, True, "mps", torch.float32),
        (False, False, "cpu", torch.float32),
    ],
)
def test_auto_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, device: str, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: int(cuda))
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    placed = place(load_catalogue_entry("qwen3-0.6b"))
    assert (placed.device, placed.dtype, placed.attention) == (device, dtype, None)
    assert place(load_catalogue_entry("qwen3-0.6b", dtype="float16")).dtype == torch.float16


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(PkvError, match=f"model.device={device}, and torch sees .*; set model.device=auto"):
        load(load_catalogue_entry("tiny-llama", device=device))


def test_four_bit_needs_bitsandbytes_and_a_device(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    real = importlib.util.find_spec
    present = {"bitsandbytes": None}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: present[n] if n in present else real(n, *a)
    )
    with pytest.raises(PkvError, match=r"needs bitsandbytes.*pip install 'pkv_interp\[quantised\]'"):
        load_local(checkpoint, quantise_4bit=True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: object())
    with pytest.raises(PkvError, match="a CPU or a CUDA device, not on mps"):
        read_checkpoint(str(checkpoint), Placement(torch.float32, "mps", None, quantise_4bit=True))


def test_no_pickle_is_opened(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a pickle was opened")

    for module, name in ((torch, "load"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, refuse)
    assert load_local(checkpoint).spec.n_layers == 3


def test_a_directory_with_pickled_weights_only(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    torch.save({}, checkpoint / "pytorch_model.bin")
    with pytest.raises(
        PkvError, match=r"pickled weights only \(pytorch_model\.bin\).*; convert them to safetensors"
    ):
        load_local(checkpoint)


def test_directories_that_are_no_models(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(PkvError, match="model directory .*nowhere does not exist"):
        load_local(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(PkvError, match=r"empty has no config\.json"):
        load_local(tmp_path / "empty")
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(PkvError, match=r"has no \*\.safetensors"):
        load_local(checkpoint)


def test_damaged_checkpoints(tmp_path: Path, checkpoint: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(checkpoint, damaged)
    weights = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(PkvError, match="cannot load .*damaged"):
        load_local(damaged)
    (damaged / "model.safetensors").write_bytes(weights)
    text = (damaged / "config.json").read_text()
    (damaged / "config.json").write_text(text.replace('"num_hidden_layers": 3', '"num_hidden_layers": 4'))
    with pytest.raises(PkvError, match=r"lacks 9 weights, first model\.layers\.3\."):
        load_local(damaged)
    (damaged / "config.json").write_text(text.replace('"model_type": "llama"', '"model_type": "lxama"'))
    with pytest.raises(PkvError, match="cannot load .*damaged.*lxama"):
        load_local(damaged)


def test_an_architecture_of_another_layout(tmp_path: Path) -> None:
    _, tokenizer = tiny_model("qwen3", 0)
    GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=len(tokenizer))).save_pretrained(
        tmp_path
    )
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(PkvError, match=r"GPT2LMHeadModel has no module 'model\.embed_tokens'"):
        load_local(tmp_path)


@pytest.mark.parametrize("new_names", [False, True])
def test_of_a_multimodal_checkpoint_the_language_model_is_loaded(tmp_path: Path, new_names: bool) -> None:
    text, tokenizer = tiny_model("gemma3", 0)
    inner = {k: v for k, v in text.config.to_dict().items() if k not in ("model_type", "architectures")}
    vision = SiglipVisionConfig(
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=28,
        patch_size=14,
    )
    whole = Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=Gemma3TextConfig(**inner), vision_config=vision, mm_tokens_per_image=4)
    )
    whole.model.language_model.load_state_dict(text.model.state_dict())
    whole.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    if new_names:
        old = load_file(tmp_path / "model.safetensors")
        renamed = {k.replace("language_model.model.", "model.language_model."): v for k, v in old.items()}
        assert renamed.keys() != old.keys()
        save_file(renamed, tmp_path / "model.safetensors", metadata={"format": "pt"})
    loaded = load_local(tmp_path)
    assert type(loaded.model).__name__ == "Gemma3ForCausalLM"
    assert torch.equal(loaded.model(IDS).logits, text(IDS).logits)
    assert loaded.spec.windows == (64, 64, None, 64, 64, None)


def test_without_network_the_hub_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        PkvError, match="cannot reach the hub for Qwen/Qwen3-0.6B, and it is not in the local cache"
    ):
        load(load_catalogue_entry("qwen3-0.6b", device="cpu"))
    with pytest.raises(PkvError, match="cannot reach the hub for a/b"):
        load(load_catalogue_entry("gguf", path=None, hub_id="a/b", gguf_file="c.gguf", device="cpu"))


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (GatedRepoError, "meta-llama/Llama-3.1-8B-Instruct is gated on the hub; accept its licence"),
        (
            RepositoryNotFoundError,
            "the hub has no model 'meta-llama/Llama-3.1-8B-Instruct'; check model.hub_id",
        ),
        (RevisionNotFoundError, "has no revision 'main'; set model.revision"),
        (ConnectionError, "cannot reach the hub for meta-llama"),
        (TimeoutError, "cannot reach the hub for meta-llama"),
        (PermissionError, "cannot load meta-llama/Llama-3.1-8B-Instruct: something else"),
    ],
)
def test_what_the_hub_answers_is_told(
    monkeypatch: pytest.MonkeyPatch, cause: type[Exception], told: str
) -> None:
    def answer(*_: Any, **__: Any) -> None:
        inner = cause.__new__(cause)
        inner.args = ("a long\nanswer",)
        raise OSError("something\nelse") from inner

    monkeypatch.setattr("pkv_interp.models.checkpoint.cached_file", answer)
    with pytest.raises(PkvError) as caught:
        load(load_catalogue_entry("llama-3.1-8b", device="cpu"))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_commit_is_recorded_and_asked_for(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    """A hub cache laid out on disk stands in for the hub: refs/main names the commit of the snapshot."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = checkpoint.parent / "hub" / "models--Qwen--Qwen3-0.6B"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    shutil.copytree(checkpoint, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(checkpoint.parent / "hub"))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(checkpoint.parent / "hub"))
    loaded = load(load_catalogue_entry("qwen3-0.6b", device="cpu"))
    assert loaded.info.revision == commit
    assert loaded.info.hub_id == "Qwen/Qwen3-0.6B"
    assert loaded.info.weight_sha256 == load_local(checkpoint).info.weight_sha256
