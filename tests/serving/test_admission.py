"""Which requests are served, without an engine: what the connector of vLLM checks in its environment."""

from __future__ import annotations

import ast
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pkv_interp.models.hashing import weight_sha256
from pkv_interp.models.identity import config_of
from pkv_interp.models.tiny import tiny_model
from pkv_interp.serving import admission, export
from pkv_interp.serving.admission import Served, Shelf, admit, namespace
from pkv_interp.serving.checkpoint import checkpoint_sha256
from pkv_interp.serving.stored import Unserved
from tests.families import tiny
from tests.serving.made import Made, made
from tests.test_architecture import imports, sources


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gemma3", "mistral", "phi3"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_has_the_hash_of_its_model(family: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model, _ = tiny_model(family)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    assert checkpoint_sha256(tmp_path, dtype) == weight_sha256(loaded)
    with torch.no_grad():
        next(model.parameters())[5, 5] += 1
    model.save_pretrained(tmp_path)
    assert checkpoint_sha256(tmp_path, dtype) != weight_sha256(loaded)


def test_a_tied_and_sharded_checkpoint_too(tmp_path: Path) -> None:
    model, _ = tiny_model("llama")
    settings: dict[str, Any] = model.config.to_dict() | {"tie_word_embeddings": True}
    tied = type(model)(type(model.config)(**settings))
    tied.save_pretrained(tmp_path, max_shard_size="200KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert checkpoint_sha256(tmp_path, torch.float32) == weight_sha256(tied)


def test_folders_that_are_no_checkpoint_are_told(tmp_path: Path) -> None:
    with pytest.raises(Unserved, match="cannot be read"):
        checkpoint_sha256(tmp_path / "none", torch.float32)
    model, _ = tiny_model("llama")
    model.save_pretrained(tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(Unserved, match="cannot be read"):
        checkpoint_sha256(tmp_path, torch.float32)
    file.unlink()
    with pytest.raises(Unserved, match="has no safetensors files"):
        checkpoint_sha256(tmp_path, torch.float32)


def prepared(folder: Path, kind: str = "field_only") -> tuple[Made, Path, Served]:
    loaded = tiny("llama")
    one = made(kind, loaded.model, loaded.tokenizer)
    path = export(one.given, folder, **one.named)
    return one, path, Served(weight_sha256(loaded.model), loaded.model.config.to_dict(), "float32")


def test_a_request_is_admitted_or_told_why_not(tmp_path: Path) -> None:
    one, path, served = prepared(tmp_path)
    shelf = Shelf(tmp_path, whole=False)
    cache = admit(shelf, served, path.stem, "salt", one.prompt, [])
    assert (cache.ids, cache.keys.numel()) == (one.ids, 0)
    cut = tmp_path / f"{'0' * 64}.safetensors"
    cut.write_bytes(path.read_bytes()[:2000])
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}
    unread = Unserved("other weights", "the weights cannot be read", "serve a folder")
    base: dict[str, Any] = {
        "served": served,
        "name": path.stem,
        "salt": "salt",
        "prompt": one.prompt,
        "besides": [],
    }
    for reason, told, change in (
        ("no salt", "without a salt", {"salt": None}),
        ("no salt", "without a salt", {"salt": ""}),
        ("options", "a LoRA adapter", {"besides": ["a LoRA adapter"]}),
        ("no name", "is no name of a cache", {"name": 3}),
        ("no name", "is no name of a cache", {"name": f"../{path.stem[3:]}"}),
        ("missing", "there is no cache", {"name": "1" * 64}),
        ("damaged", "is damaged", {"name": cut.stem}),
        ("other ids", "does not begin with", {"prompt": [*one.ids[:-1], 7, *one.suffix]}),
        ("other ids", "does not begin with", {"prompt": one.ids[:-1]}),
        ("other ids", "ends with the cache", {"prompt": one.ids}),
        ("other weights", "by other weights", {"served": replace(served, weights="2" * 64)}),
        ("other weights", "the engine serves bfloat16", {"served": replace(served, dtype="bfloat16")}),
        ("other weights", "cannot be read", {"served": replace(served, weights=unread)}),
        (
            "other weights",
            "rope_parameters",
            {"served": replace(served, settings={**served.settings, **rope})},
        ),
    ):
        given: dict[str, Any] = base | change
        with pytest.raises(Unserved, match=told) as caught:
            admit(shelf, **given)
        assert caught.value.reason == reason


def test_settings_of_the_engine_are_those_of_the_model() -> None:
    model = tiny("llama").model
    assert config_of(model).keys() & model.config.to_dict().keys() >= {"rope_parameters", "rms_norm_eps"}


def test_a_cache_is_read_once_and_again_when_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path, _ = prepared(tmp_path)
    shelf, reads = Shelf(tmp_path, whole=True), []
    read = admission.stored.read
    monkeypatch.setattr(admission.stored, "read", lambda file: reads.append(file) or read(file))
    assert shelf.get(path.stem) is shelf.get(path.stem)
    assert shelf.get(path.stem).keys.shape[2] == shelf.get(path.stem).length
    assert len(reads) == 1
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unserved, match="is damaged"):
        shelf.get(path.stem)
    path.write_bytes(whole)
    os.utime(path, ns=(1, 1))
    assert shelf.get(path.stem).length
    path.unlink()
    with pytest.raises(Unserved, match="there is no cache"):
        shelf.get(path.stem)


def test_few_caches_stay_in_memory(tmp_path: Path) -> None:
    loaded = tiny("llama")
    shelf, names = Shelf(tmp_path, whole=True), []
    for padding in range(admission.KEPT + 2):
        names.append(export(made("field_only", loaded.model, loaded.tokenizer, padding).given, tmp_path).stem)
        shelf.get(names[-1])
    assert list(shelf._kept) == names[2:]


def test_columns_are_kept_apart_by_cache_salt_and_engine(tmp_path: Path) -> None:
    caches = [
        Shelf(tmp_path, whole=False).get(prepared(tmp_path, kind)[1].stem) for kind in ("stale", "erratum")
    ]
    given = {namespace(c, s, x) for c in caches for s in ("a", "b") for x in ("x", "y")}
    assert len(given) == 8


def test_what_vllm_loads_imports_nothing_that_its_environment_lacks() -> None:
    """Its transformers is another than ours, and nothing else of ours is installed there."""
    seen, waiting = set(), ["pkv_interp.serving.vllm_connector"]
    while waiting:
        seen.add(module := waiting.pop())
        waiting += imports(module) - seen
    assert seen == {"pkv_interp.errors"} | {
        f"pkv_interp.serving.{name}" for name in ("vllm_connector", "admission", "checkpoint", "stored")
    } | ({"pkv_interp.serving"} & seen)
    outside = set()
    for module in seen:
        for node in ast.walk(ast.parse(sources()[module].read_text())):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                )
                outside |= {name.split(".")[0] for name in names} - sys.stdlib_module_names
    assert outside == {"torch", "safetensors", "vllm", "pkv_interp"}
