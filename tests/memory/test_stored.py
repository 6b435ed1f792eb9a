"""Memories on disk: round trips of every kind of version, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pkv_interp.errors import PkvError
from pkv_interp.memory import CompiledMemory, Memory, load, save
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.tiny import tiny_model
from tests.families import tiny as tiny_of
from tests.memory.support import (
    BEFORE,
    NEW,
    QUESTION,
    SETTING,
    compiled,
    in_blocks,
    tokens_run,
    written,
)


def again(memory: CompiledMemory, folder: Path) -> CompiledMemory:
    return load(save(memory, folder / "ada.safetensors"), memory.runner.model, memory.tokenizer)


def equal(one: CompiledMemory, two: CompiledMemory) -> None:
    assert one.ids == two.ids
    assert dict(one.settings) == dict(two.settings)
    assert one.exact == two.exact
    for mine, theirs in zip(one.chunks, two.chunks, strict=True):
        assert (mine.start, mine.context, mine.sink) == (theirs.start, theirs.context, theirs.sink)
        assert (mine.identity, mine.cache.regime) == (theirs.identity, theirs.cache.regime)
        for a, b in zip(
            (*mine.cache.keys, *mine.cache.values), (*theirs.cache.keys, *theirs.cache.values), strict=True
        ):
            assert torch.equal(a, b)


def test_it_comes_back_as_it_was(tiny: LoadedModel, tmp_path: Path) -> None:
    memory = compiled(tiny, in_blocks(), BEFORE)
    read = again(memory, tmp_path)
    equal(read, memory)
    assert [path.name for path in tmp_path.iterdir()] == ["ada.safetensors"]


VERSIONS: dict[str, Callable[[CompiledMemory], CompiledMemory]] = {
    "in place": lambda memory: memory.update(SETTING, NEW, "in_place"),
    "erratum": lambda memory: memory.update(SETTING, NEW, "erratum"),
    "hoisted": lambda memory: memory.update(SETTING, NEW, "hoist"),
    "two": lambda memory: memory.update("archive", "third floor", "erratum").update(SETTING, NEW, "in_place"),
    "forgotten": lambda memory: memory.forget("archive"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_comes_back_and_goes_on(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = VERSIONS[version](compiled(tiny_of("llama"), written()))
    with tokens_run(monkeypatch) as counted:
        read = again(memory, tmp_path)
    assert counted == []
    equal(read, memory)
    assert torch.equal(read.attach(BEFORE).logits(QUESTION), memory.attach(BEFORE).logits(QUESTION))
    for method in ("erratum", "recompile"):
        equal(read.update(SETTING, "delivered", method), memory.update(SETTING, "delivered", method))


def test_a_new_version_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    memory = compiled(tiny_of("llama"), written())
    again(memory, tmp_path)
    assert SETTING not in again(memory.forget(SETTING), tmp_path).settings
    (path,) = tmp_path.iterdir()
    assert b"pending" not in path.read_bytes()


def test_another_model_or_tokenizer_is_refused(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    path = save(compiled(loaded, written()), tmp_path / "ada.safetensors")
    with pytest.raises(PkvError, match=r"ada.safetensors was made with another weights; precompile"):
        load(path, tiny_of("llama", seed=1).model, loaded.tokenizer)
    model, tokenizer = tiny_model("llama", 0)
    tokenizer.add_tokens(["<new>"])
    with pytest.raises(PkvError, match=r"was made with another tokenizer"):
        load(path, model, tokenizer)
    rotated, _ = tiny_model("llama", 0)
    rotated.model.rotary_emb.inv_freq.mul_(0.5)
    with pytest.raises(PkvError, match=r"was made with another (rope|configuration)"):
        load(path, rotated, loaded.tokenizer)
    with pytest.raises(PkvError, match=r"was made with another"):
        load(path, tiny_model("llama", 0)[0].double(), loaded.tokenizer)


def _other_text(fields: dict[str, str], _: dict[str, torch.Tensor]) -> None:
    blocks = json.loads(fields["blocks"])
    blocks[0]["values"][SETTING] = NEW
    fields["blocks"] = json.dumps(blocks)


def _other_column(_: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
    tensors["values.0"][0, 0, 0, 0] += 1


def _no_block(fields: dict[str, str], _: dict[str, torch.Tensor]) -> None:
    del fields["blocks"]


def _no_keys(_: dict[str, str], tensors: dict[str, torch.Tensor]) -> None:
    del tensors["keys.0"]


@pytest.mark.parametrize("spoil", [_other_text, _other_column, _no_block, _no_keys])
def test_a_file_that_was_changed_is_refused(
    spoil: Callable[[dict[str, str], dict[str, torch.Tensor]], None], tmp_path: Path
) -> None:
    loaded = tiny_of("llama")
    path = save(compiled(loaded, written()), tmp_path / "ada.safetensors")
    with safe_open(path, framework="pt") as file:
        fields = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    spoil(fields, tensors)
    save_file(tensors, path, metadata=fields)
    with pytest.raises(PkvError, match="is missing or damaged; save the memory again"):
        load(path, loaded.model, loaded.tokenizer)


def test_a_file_that_is_cut_or_not_there_is_refused(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    path = save(compiled(loaded, written()), tmp_path / "ada.safetensors")
    path.write_bytes(path.read_bytes()[:-7])
    for place in (path, tmp_path / "none.safetensors"):
        with pytest.raises(PkvError, match="is missing or damaged"):
            load(place, loaded.model, loaded.tokenizer)


def test_columns_of_weights_that_changed_are_not_written(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama", 3)
    memory = Memory({"a": "yes"}).precompile(model, tokenizer)
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    with pytest.raises(PkvError, match="weights are not those that made the memory"):
        save(memory, tmp_path / "ada.safetensors")
    assert list(tmp_path.iterdir()) == []
