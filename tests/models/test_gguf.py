"""GGUF files: read as plain floats, and refused where they are none."""

from pathlib import Path

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import load_local, save_gguf

IDS = torch.tensor([[1, 300, 400, 500, 350]])


def load_gguf(file: Path) -> LoadedModel:
    return load(load_catalogue_entry("gguf", path=str(file), device="cpu", dtype="float32"))


@pytest.mark.parametrize(
    ("kind", "told", "tolerance"),
    [("F32", None, 0.0), ("F16", None, 5e-4), ("Q4_1", "Q4_1 (dequantised)", 0.05)],
)
def test_a_file_is_read_into_plain_weights(
    tmp_path: Path, kind: str, told: str | None, tolerance: float
) -> None:
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(tmp_path / "m.gguf", model, tokenizer, kind)
    loaded = load_gguf(tmp_path / "m.gguf")
    ours, theirs = (m.state_dict() for m in (loaded.model, model))
    assert ours.keys() == theirs.keys()
    assert max((ours[name] - theirs[name]).abs().max().item() for name in ours) <= tolerance
    assert torch.equal(loaded.model(IDS).logits, model(IDS).logits) == (kind == "F32")
    assert loaded.info.quantised == told
    assert not loaded.info.quantised_in_memory
    assert loaded.info.dtype == "float32"
    assert all(parameter.dtype == torch.float32 for parameter in loaded.model.parameters())
    text = "Answer with one word"
    assert (
        loaded.tokenizer(text, add_special_tokens=False).input_ids
        == tokenizer(text, add_special_tokens=False).input_ids
    )


def test_it_can_be_saved_and_read_again(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(tmp_path / "m.gguf", model, tokenizer, "Q4_1")
    loaded = load_gguf(tmp_path / "m.gguf")
    loaded.model.save_pretrained(tmp_path / "again")
    loaded.tokenizer.save_pretrained(tmp_path / "again")
    again = load_local(tmp_path / "again")
    assert again.info.weight_sha256 == loaded.info.weight_sha256
    assert again.info.quantised is None


def test_bad_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match=r"GGUF file .*none\.gguf does not exist; set model\.path"):
        load_gguf(tmp_path / "none.gguf")
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(PkvError, match=r"wrong\.gguf is not a GGUF file"):
        load_gguf(wrong)
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(tmp_path / "whole.gguf", model, tokenizer)
    whole = (tmp_path / "whole.gguf").read_bytes()
    for size in (20, 3000, len(whole) // 2):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole[:size])
        with pytest.raises(PkvError) as caught:
            load_gguf(cut)
        assert "cut.gguf" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_an_architecture_that_transformers_does_not_read(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(tmp_path / "m.gguf", model, tokenizer)
    data = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(data.replace(b"llama", b"lxama"))
    with pytest.raises(PkvError, match=r"cannot read .*m\.gguf"):
        load_gguf(tmp_path / "m.gguf")
