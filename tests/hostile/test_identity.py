"""Identity: what a stored result is served for is what would compute it again, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PreTrainedModel

from pkv_interp.cache import Runner
from pkv_interp.composing import ChunkLibrary, precompile, splice
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.identity import identity_of, tokenizer_sha256
from pkv_interp.models.requested import requested_weights
from pkv_interp.models.tiny import tiny_model
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from tests.models.saved import save_adapter, save_tiny
from tests.run.toy import CALLS, EXPERIMENT

TEXT = "If the order status is pending, the right action is cancel; otherwise it is deny."
COMMITS = ("0123456789abcdef0123456789abcdef01234567", "fedcba9876543210fedcba9876543210fedcba98")


def rebuilt(family: str, **settings: Any) -> PreTrainedModel:
    """The tiny model's weights in a model of another configuration."""
    model, _ = tiny_model(family, 0)
    config: Any = model.config
    for name, value in settings.items():
        setattr(config, name, value)
    made = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    made.load_state_dict(model.state_dict())
    return made


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gpt-oss", {"num_experts_per_tok": 1}),
        ("llama", {"rms_norm_eps": 1e-2}),
        ("llama", {"hidden_act": "gelu"}),
        ("mistral", {"sliding_window": 8}),
        ("gemma2", {"attn_logit_softcapping": 5.0}),
        ("gemma2", {"query_pre_attn_scalar": 64}),
        ("qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 5000.0}}),
    ],
)
def test_another_configuration_of_the_same_weights_gets_a_chunk_of_its_own(
    tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    """S8: served before, with keys 0.2 to 0.9 off."""
    (model, tokenizer), other = tiny_model(family, 0), rebuilt(family, **settings)
    library, runner = ChunkLibrary(tmp_path), Runner.of(other)
    path = library.put(Runner.of(model), tokenizer, precompile(Runner.of(model), tokenizer, TEXT))
    with pytest.raises(PkvError, match="made with another (configuration|rope configuration)"):
        library.read(path, runner, tokenizer)
    served, right = library.fetch(runner, tokenizer, TEXT), precompile(runner, tokenizer, TEXT)
    assert all(torch.equal(a, b) for a, b in zip(served.cache.keys, right.cache.keys, strict=True))
    foreign = library.fetch(Runner.of(model), tokenizer, TEXT)
    with pytest.raises(PkvError, match="made by another model"):
        splice(runner, runner.prefill([300]).cache, foreign)


def _first(model: Any) -> Any:
    return model.model.layers[0]


@pytest.mark.parametrize(
    ("family", "change"),
    [
        ("llama", lambda m: setattr(_first(m).input_layernorm, "variance_epsilon", 1e-2)),
        ("llama", lambda m: setattr(_first(m).self_attn, "scaling", 0.5)),
        ("llama", lambda m: setattr(_first(m).self_attn, "scaling", torch.tensor(0.25))),
        ("llama", lambda m: setattr(_first(m).mlp, "act_fn", torch.nn.GELU())),
        ("llama", lambda m: m.model.rotary_emb.inv_freq.mul_(0.5)),
        ("llama", lambda m: m.config.rope_parameters.update(rope_theta=5.0)),
        ("llama", lambda m: _first(m).mlp.up_proj.weight.data.mul_(1.5)),
        ("gpt-oss", lambda m: setattr(_first(m).mlp.router, "top_k", 1)),
        ("mistral", lambda m: setattr(m.config, "sliding_window", 8)),
    ],
)
def test_a_live_model_that_is_changed_is_another(family: str, change: Callable[[Any], object]) -> None:
    """S8: a forward reads its modules' attributes, which no configuration shows."""
    model, _ = tiny_model(family, 0)
    before = identity_of(model)
    with torch.no_grad():
        change(model)
    assert identity_of(model) != before


def test_which_adapters_act_is_part_of_the_identity() -> None:
    """Chunks of an adapter were served to the model without it, and the other way round: 7 to 10 off."""
    model: Any = tiny_model("llama", 0)[0]
    for name in ("a", "b"):
        model.add_adapter(LoraConfig(r=2, target_modules=["k_proj"]), adapter_name=name)
    model.eval()
    found = [identity_of(model)]
    model.set_adapter("a")
    found.append(identity_of(model))
    model.disable_adapters()
    found.append(identity_of(model))
    assert len(set(found)) == 3
    model.enable_adapters()
    assert identity_of(model) == found[1]
    for scale in (0.5, 0.25):
        model.model.layers[0].self_attn.scaling = torch.tensor(scale)
        found.append(identity_of(model))
    assert len(set(found)) == 5


def test_what_no_forward_reads_changes_nothing() -> None:
    model, tokenizer = tiny_model("llama", 0)
    config: Any = model.config
    before, told = identity_of(model), tokenizer_sha256(tokenizer)
    config.use_cache, config.name_or_path, config.pad_token_id = False, "elsewhere", 3
    with torch.no_grad():
        model(torch.tensor([[300, 301]]))
    tokenizer(["a", "b c d"], padding=True, truncation=True, max_length=2)
    assert (identity_of(model), tokenizer_sha256(tokenizer)) == (before, told)
    assert identity_of(tiny_model("llama", 0)[0]) != identity_of(tiny_model("llama", 1)[0])


@pytest.mark.parametrize("family", ["llama", "gemma3"])
def test_frequencies_that_follow_a_prompt_are_no_other_model(family: str) -> None:
    rope: dict[str, Any] = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}
    if family == "gemma3":
        rope = {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": 1e4}}
    model = rebuilt(family, rope_parameters=rope, max_position_embeddings=16)
    before = identity_of(model)
    with torch.no_grad():
        model(torch.arange(300, 340)[None])
    assert identity_of(model) == before


def local(path: Path | str, **settings: Any) -> ModelConfig:
    return load_catalogue_entry("local", path=str(path), device="cpu", dtype="float32", **settings)


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def _rewrite(file: Path) -> None:
    """Other content of the same size, with the old time of the last change put back."""
    held, weights = file.stat(), load_file(file)
    weights["model.norm.weight"] = weights["model.norm.weight"] + 0.5
    save_file(weights, file, metadata={"format": "pt"})
    assert file.stat().st_size == held.st_size
    os.utime(file, ns=(held.st_atime_ns, held.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: _rewrite(d / "model.safetensors"),
        lambda d: _edit(d / "config.json", rms_norm_eps=1e-2),
        lambda d: _edit(d / "tokenizer.json", truncation={"max_length": 4}),
        lambda d: (d / "chat_template.jinja").write_text("{{ messages[0].content }}"),
        lambda d: (d / "generation_config.json").write_text("{}"),
    ],
)
def test_a_folder_is_known_by_its_content(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """S7: other weights, configuration, tokenizer or template under one path."""
    save_tiny(tmp_path / "m")
    before = requested_weights(local(tmp_path / "m"))
    assert requested_weights(local(tmp_path / "m")) == before
    change(tmp_path / "m")
    assert requested_weights(local(tmp_path / "m")) != before


@pytest.mark.parametrize("key", ["eos_token_id", "bos_token_id", "pad_token_id"])
def test_tokens_that_end_a_generation_are_part_of_the_key(tmp_path: Path, key: str) -> None:
    """Generation reads them in config.json, so that other ids are another text."""
    save_tiny(tmp_path)
    before = requested_weights(local(tmp_path))
    _edit(tmp_path / "config.json", **{key: 7})
    assert requested_weights(local(tmp_path)) != before


def test_copies_links_and_working_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: a relative path from two folders was one key; where files lie is no part of it."""
    for place, seed in (("a", 0), ("b", 1)):
        save_tiny(tmp_path / place / "m", seed=seed)
    found = []
    for place in ("a", "b"):
        monkeypatch.chdir(tmp_path / place)
        found.append(requested_weights(local("m")))
    assert len(set(found)) == 2
    (tmp_path / "link").mkdir()
    for file in (tmp_path / "a" / "m").iterdir():
        (tmp_path / "link" / file.name).symlink_to(file)
    assert requested_weights(local(tmp_path / "link")) == found[0]
    # Results beside the weights, and a version of transformers, are no part of them.
    (tmp_path / "a" / "m" / "results").mkdir()
    (tmp_path / "a" / "m" / "results" / "run.json").write_text("{}")
    _edit(tmp_path / "a" / "m" / "config.json", transformers_version="6.0.0")
    assert requested_weights(local(tmp_path / "a" / "m")) == found[0]


def test_an_adapter_that_is_trained_again_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: given as a path, and shipped under a name."""
    save_adapter(tmp_path / "gate")
    monkeypatch.setattr("pkv_interp.models.adapter.PACKAGED", tmp_path)
    configs = [load_catalogue_entry("tiny-llama", adapter=a) for a in ("gate", str(tmp_path / "gate"))]
    before = [requested_weights(config) for config in configs]
    file = tmp_path / "gate" / "adapter_model.safetensors"
    save_file({k: v * 2 for k, v in load_file(file).items()}, file)
    assert all(requested_weights(c) != b for c, b in zip(configs, before, strict=True))


def test_a_branch_that_moves_is_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: a revision counts by its commit; a cache on disk stands in for the hub."""
    reference = tmp_path / "models--Qwen--Qwen3-0.6B" / "refs" / "main"
    reference.parent.mkdir(parents=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    asked, keys = load_catalogue_entry("qwen3-0.6b"), []
    for commit in COMMITS:
        reference.write_text(commit)
        keys.append(requested_weights(asked))
    assert len(set(keys)) == 2
    assert requested_weights(asked.model_copy(update={"revision": COMMITS[1]})) == keys[1]
    shutil.rmtree(tmp_path / "models--Qwen--Qwen3-0.6B")
    with pytest.raises(PkvError, match="cannot reach the hub for Qwen/Qwen3-0.6B"):
        requested_weights(asked)


def test_a_run_on_other_weights_in_the_folder_is_run_again(tmp_path: Path) -> None:
    """S7: the old record was shown as the answer."""
    run = {"results_dir": tmp_path / "results", "instances": 1, "verify": "none"}
    save_tiny(tmp_path / "m", seed=0)
    first = EXPERIMENT.run(model=local(tmp_path / "m"), **run)
    save_tiny(tmp_path / "m", seed=1)
    second = EXPERIMENT.run(model=local(tmp_path / "m"), **run)
    assert first.key != second.key
    assert first.model["weight_sha256"] != second.model["weight_sha256"]
    CALLS.clear()
    assert EXPERIMENT.run(model=local(tmp_path / "m"), **run) == second
    assert CALLS == []


def test_parts_of_an_earlier_sitting_are_of_the_same_model(tmp_path: Path) -> None:
    """S7: resumed under one key with other weights in memory, as when a cached conversion is replaced."""
    run = {"model": "tiny-llama", "results_dir": tmp_path, "instances": 1, "verify": "none"}
    with pytest.raises(PkvError, match="not finite"):
        EXPERIMENT.run(wrong_part=True, **run)
    (folder,) = (tmp_path / ".partial").iterdir()
    held = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(held | {"weights": "0" * 64}))
    with pytest.raises(PkvError, match="measured with another weights; bring it back .* resume=false"):
        EXPERIMENT.run(wrong_part=True, **run)
    with pytest.raises(PkvError, match="not finite"):
        EXPERIMENT.run(wrong_part=True, resume=False, **run)
    assert json.loads((folder / "model.json").read_text()) == held


def test_files_that_change_while_they_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S7: what was hashed for the key is what was loaded."""
    from pkv_interp.run import session

    save_tiny(tmp_path / "m", seed=0)
    load = session.load

    def replaced(config: ModelConfig) -> Any:
        save_tiny(tmp_path / "m", seed=1)
        return load(config)

    monkeypatch.setattr(session, "load", replaced)
    with pytest.raises(PkvError, match="changed while they were loaded; run the same command again"):
        EXPERIMENT.run(model=local(tmp_path / "m"), results_dir=tmp_path / "results", instances=1)


def test_a_tokenizer_of_another_vocabulary_is_another() -> None:
    assert tokenizer_sha256(tiny_tokenizer("llama")) != tokenizer_sha256(tiny_tokenizer("qwen3"))
