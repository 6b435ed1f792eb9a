"""GGUF files converted weight by weight: what transformers makes of them whole, byte for byte."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pkv_interp.errors import PkvError
from pkv_interp.models import gguf_convert
from pkv_interp.models.gguf_convert import Stored, convert_gguf, dequantised, write_weights
from pkv_interp.models.gguf_file import read_gguf
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import load_local, save_gguf

#: Heads interleaved or not, norms stored with their 1 or not, tied embeddings or not.
CASES = (("llama", "Q4_1"), ("qwen3", "F16"), ("gemma3", "Q4_1"))


@pytest.mark.parametrize(("family", "kind"), CASES)
def test_it_writes_what_reading_it_whole_and_saving_it_gives(family: str, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    save_gguf(file, *tiny_model(family, 3), kind)
    model, tokenizer = read_gguf(file, torch.float32)
    model.save_pretrained(tmp_path / "whole")
    tokenizer.save_pretrained(tmp_path / "whole")
    convert_gguf(file, tmp_path / "converted")
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    converted = {path.name: path.read_bytes() for path in (tmp_path / "converted").iterdir()}
    assert whole.keys() == converted.keys()
    assert [name for name in whole if whole[name] != converted[name]] == []
    ids = torch.tensor([[5, 6, 7, 8]])
    loaded = load_local(tmp_path / "converted").model
    assert torch.equal(loaded(ids).logits, model.eval()(ids).logits)


def test_a_tensor_is_dequantised_in_pieces_as_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_gguf(tmp_path / "m.gguf", *tiny_model("llama", 0), "Q4_1")
    tensors = gguf.GGUFReader(tmp_path / "m.gguf").tensors
    pieces: list[int] = []

    def counted(data: np.ndarray, kind: Any) -> np.ndarray:
        pieces.append(len(data))
        return gguf.dequantize(data, kind)

    monkeypatch.setattr(gguf_convert, "dequantize", counted)
    monkeypatch.setattr(gguf_convert, "_PIECE", 1000)  # no number of rows that divides any of them
    for tensor in tensors:
        whole = gguf.dequantize(tensor.data, tensor.tensor_type)
        del pieces[:]
        found = dequantised(tensor)
        assert found.dtype == np.float32
        assert np.array_equal(found, whole.reshape(found.shape))
        assert sum(pieces) == len(tensor.data)
        assert whole.ndim < 2 or max(pieces) * whole.shape[1] <= 1000


def test_one_weight_is_held_at_a_time(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []

    def reader(number: int) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            assert [one for one in alive if one() is not None] == []
            made = np.full((3, number + 1), number, np.float32)
            alive.append(weakref.ref(made))
            return made

        return read

    weights = [Stored(f"w{number}", (3, number + 1), reader(number)) for number in range(4)]
    write_weights(tmp_path / "w.safetensors", weights)
    assert len(alive) == 4
    for name, tensor in load_file(tmp_path / "w.safetensors").items():
        assert torch.equal(tensor, torch.full((3, int(name[1]) + 1), float(name[1])))
    del alive[:]
    with pytest.raises(PkvError, match=r"w0 is read as \(3, 1\), and the model makes it \(1, 3\)"):
        write_weights(tmp_path / "odd.safetensors", [Stored("w0", (1, 3), reader(0))])


def _without(name: str) -> Callable[[Any], None]:
    def change(model: Any) -> None:
        held = model.state_dict
        model.state_dict = lambda: {key: value for key, value in held().items() if key != name}

    return change


def _longer(model: Any) -> None:
    weight = model.model.layers[0].mlp.up_proj.weight
    model.model.layers[0].mlp.up_proj.weight = torch.nn.Parameter(torch.cat((weight, weight)))


@pytest.mark.parametrize(
    ("change", "tensors", "cause"),
    [
        (_without("model.norm.weight"), {}, "lacks 1 weights, first model.norm.weight"),
        (_longer, {}, "holds model.layers.0.mlp.up_proj.weight of shape"),
        (lambda _: None, {"blk.0.odd.weight": np.ones((2, 32), np.float32)}, "no place for, first blk.0.odd"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_a_weight_is_written(
    change: Callable[[Any], None], tensors: dict[str, np.ndarray], cause: str, tmp_path: Path
) -> None:
    model, tokenizer = tiny_model("llama", 0)
    change(model)
    save_gguf(tmp_path / "m.gguf", model, tokenizer, tensors=tensors)
    with pytest.raises(PkvError, match=cause):
        convert_gguf(tmp_path / "m.gguf", tmp_path / "converted")
    assert not (tmp_path / "converted").exists()
