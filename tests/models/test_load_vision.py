"""The vision-language model that comes with the package, and others that are read whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.load_vision import load_vision
from pkv_interp.models.picture_model import new_picture_model
from pkv_interp.models.requested import requested_weights
from pkv_interp.models.shipped import shipped_folder
from pkv_interp.models.tokenizer import load_tokenizer
from pkv_interp.pictures.words import VOCABULARY

ENTRY = load_catalogue_entry("vision-tiny")


def test_the_shipped_model_is_small_and_whole() -> None:
    folder = shipped_folder("vision_tiny")
    assert (folder / "model.safetensors").stat().st_size < 8e6
    loaded = load_vision(ENTRY)
    assert loaded.info.n_parameters < 4e6
    assert loaded.info.dtype == "float32"
    assert not loaded.info.random_weights
    assert not loaded.model.training
    tokenizer = load_tokenizer(ENTRY)
    assert tokenizer.get_vocab() == {word: at for at, word in enumerate(VOCABULARY)}
    assert tokenizer.get_vocab() == loaded.tokenizer.get_vocab()


def test_a_folder_of_ones_own_is_read_as_well(tmp_path: Path) -> None:
    model = new_picture_model(3)
    model.save_pretrained(tmp_path)
    load_tokenizer(ENTRY).save_pretrained(str(tmp_path))
    loaded = load_vision(ModelConfig(name="mine", source="local", path=str(tmp_path), dtype="float32"))
    weights = [one.state_dict()["lm_head.weight"] for one in (loaded.model, model)]
    assert torch.equal(*weights)


def test_a_run_is_keyed_by_the_weights_that_ship(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = requested_weights(ENTRY)
    assert before == requested_weights(ENTRY)
    (tmp_path / "vision_tiny").mkdir()
    (tmp_path / "vision_tiny" / "config.json").write_text("{}")
    monkeypatch.setattr("pkv_interp.models.shipped._DATA", tmp_path)
    assert requested_weights(ENTRY) != before


def test_what_does_not_ship_is_refused() -> None:
    with pytest.raises(PkvError, match="no model 'nothing' comes with the package"):
        shipped_folder("nothing")
    with pytest.raises(PkvError, match="needs model.path"):
        load_catalogue_entry("vision-tiny", path=None)
    with pytest.raises(PkvError, match="no use for model.adapter"):
        load_catalogue_entry("vision-tiny", adapter="gate_smollm2_135m")


def test_seeds_give_weights() -> None:
    one, two, three = (new_picture_model(seed).state_dict() for seed in (0, 0, 1))
    name = "model.visual.patch_embed.proj.weight"
    assert torch.equal(one[name], two[name])
    assert not torch.equal(one[name], three[name])
