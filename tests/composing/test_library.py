"""The library of chunks: round trip, refusals, damage."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkv_interp.cache import Runner
from pkv_interp.composing import Chunk, ChunkLibrary, precompile
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.tiny import tiny_model
from tests.families import tiny as tiny_of

TEXT = "If the order status is pending, the right action is cancel; otherwise it is deny."


def same(one: Chunk, two: Chunk) -> bool:
    tensors = zip((*one.cache.keys, *one.cache.values), (*two.cache.keys, *two.cache.values), strict=True)
    names = ("ids", "start", "context", "sink", "identity")
    return all(torch.equal(a, b) for a, b in tensors) and all(
        getattr(one, n) == getattr(two, n) for n in names
    )


def test_round_trip(tiny: LoadedModel, tmp_path: Path) -> None:
    runner, library = Runner.of(tiny.model), ChunkLibrary(tmp_path / "chunks")
    made = precompile(runner, tiny.tokenizer, TEXT, context=[300, 301], sink="prefix")
    path = library.put(runner, tiny.tokenizer, made)
    assert path == library.path_of(runner, tiny.tokenizer, TEXT, context=[300, 301], sink="prefix")
    assert same(library.read(path, runner, tiny.tokenizer), made)
    assert [p.suffix for p in (tmp_path / "chunks").iterdir()] == [".safetensors"]


def test_a_chunk_is_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_of("llama")
    runner, library = Runner.of(loaded.model), ChunkLibrary(tmp_path)
    first = library.fetch(runner, loaded.tokenizer, TEXT)
    monkeypatch.setattr(Runner, "prefill", lambda *_: pytest.fail("computed again"))
    assert same(library.fetch(runner, loaded.tokenizer, TEXT), first)


def test_each_text_context_and_sink_has_a_file_of_its_own(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    runner, library = Runner.of(loaded.model), ChunkLibrary(tmp_path)
    paths = {
        library.path_of(runner, loaded.tokenizer, TEXT),
        library.path_of(runner, loaded.tokenizer, TEXT + " "),
        library.path_of(runner, loaded.tokenizer, TEXT, sink="bos"),
        library.path_of(runner, loaded.tokenizer, TEXT, context=[300], sink="prefix"),
    }
    assert len(paths) == 4


def test_another_model_rope_or_tokenizer_is_refused(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    runner, library = Runner.of(loaded.model), ChunkLibrary(tmp_path)
    path = library.put(runner, loaded.tokenizer, precompile(runner, loaded.tokenizer, TEXT))
    with pytest.raises(PkvError, match="made with another weights"):
        library.read(path, Runner.of(tiny_of("llama", seed=1).model), loaded.tokenizer)
    with pytest.raises(PkvError, match="made with another tokenizer"):
        library.read(path, runner, tiny_of("qwen3").tokenizer)
    turned, _ = tiny_model("llama")
    turned.config.max_position_embeddings = 2048
    with pytest.raises(PkvError, match="made with another rope configuration"):
        library.read(path, Runner.of(turned), loaded.tokenizer)
    other = Runner.of(tiny_of("llama", seed=1).model)
    with pytest.raises(PkvError, match="made by another model"):
        library.put(other, loaded.tokenizer, precompile(runner, loaded.tokenizer, TEXT))


def test_damage_is_one_clear_line(tmp_path: Path) -> None:
    loaded = tiny_of("llama")
    runner, library = Runner.of(loaded.model), ChunkLibrary(tmp_path)
    path = library.put(runner, loaded.tokenizer, precompile(runner, loaded.tokenizer, TEXT))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    for broken in (whole[:100], whole[:-10], bytes(flipped), b""):
        path.write_bytes(broken)
        with pytest.raises(PkvError, match="missing or damaged; delete it") as caught:
            library.fetch(runner, loaded.tokenizer, TEXT)
        assert "\n" not in str(caught.value)
    path.write_bytes(whole)
    moved = path.rename(path.with_stem("0" * 64))
    with pytest.raises(PkvError, match="damaged"):
        library.read(moved, runner, loaded.tokenizer)


def test_a_failed_write_leaves_nothing_that_could_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny_of("llama")
    runner, library = Runner.of(loaded.model), ChunkLibrary(tmp_path)
    made = precompile(runner, loaded.tokenizer, TEXT)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pkv_interp.files.os.replace", full)
    with pytest.raises(PkvError, match="No space left"):
        library.put(runner, loaded.tokenizer, made)
    assert list(tmp_path.iterdir()) == []
