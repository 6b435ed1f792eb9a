"""Loading without the engine: checkpoints of architectures that it does not read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from experiments import find
from pkv_interp.cache import Runner
from pkv_interp.errors import PkvError
from pkv_interp.models.architectures import tiny_architecture
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import load
from pkv_interp.models.load_text import info_of_table, load_text
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.records import load_records
from tests.models.saved import load_local


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a hybrid model."""
    place = tmp_path_factory.mktemp("hybrid")
    tiny_architecture("falcon-h1").save_pretrained(place)
    tiny_tokenizer("qwen3").save_pretrained(place)
    return place


def test_a_checkpoint_that_the_engine_does_not_read_is_read_as_text(folder: Path) -> None:
    config = load_catalogue_entry("local", path=str(folder), device="cpu", dtype="float32")
    loaded = load_text(config)
    assert loaded.form.kinds() == ("state",)
    assert loaded.info.check == {}
    assert loaded.info.n_parameters == sum(p.numel() for p in loaded.model.parameters())
    ids = [300, 301, 302]
    own = Runner.of(tiny_architecture("falcon-h1")).prefill(ids).logits
    torch.testing.assert_close(Runner.of(loaded.model).prefill(ids).logits, own, atol=1e-5, rtol=0)
    with pytest.raises(PkvError, match="FalconH1ForCausalLM has a recurrent state, and the engine patches"):
        load_local(folder)


def test_one_model_has_a_record_of_its_own(folder: Path, tmp_path: Path) -> None:
    record = find("architectures").run(
        model={"name": "hybrid", "source": "local", "path": str(folder), "device": "cpu", "dtype": "float32"},
        families=("orders", "alerts"),
        n_fillers=0,
        bootstrap_draws=100,
        results_dir=tmp_path,
    )
    (found,) = load_records(tmp_path)
    assert found.model_name == record.model_name == "hybrid"
    assert record.competence is not None
    assert not record.competence.passed
    assert list(record.headline) == ["competence"]
    assert set(record.tables) == {"competence", "arms"}
    assert [control.name for control in record.controls] == ["appended_equals_whole"]
    assert {row.extra["model"] for row in record.rows} == {"hybrid"}
    assert len(record.rows) == 3 * 4


def test_a_table_of_models_is_none() -> None:
    table = load_catalogue_entry("tiny-table")
    for attempt in (load, load_text):
        with pytest.raises(PkvError, match="tiny-table is a table of models and no single one"):
            attempt(table)


def test_what_is_said_of_a_table_follows_from_all_its_models() -> None:
    table, tokenizer = load_catalogue_entry("tiny-table"), tiny_tokenizer("qwen3")
    both = [tiny_architecture("llama"), tiny_architecture("qwen2")]
    one = info_of_table(table, both, tokenizer)
    assert one.random_weights
    assert one == info_of_table(table, both, tokenizer)
    assert one.n_parameters == sum(p.numel() for model in both for p in model.parameters())
    for other in (both[:1], [both[0], tiny_architecture("qwen2", seed=1)]):
        assert info_of_table(table, other, tokenizer).weight_sha256 != one.weight_sha256
