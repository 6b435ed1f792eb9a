from pathlib import Path

import pandas as pd
import pytest

from pkv_interp import records
from pkv_interp.errors import PkvError
from pkv_interp.records import (
    HeadlineFigure,
    Row,
    beside_published,
    headlines,
    load,
    load_records,
    published,
    read,
)
from pkv_interp.records.find import LOCAL
from tests.records.examples import fill, filled, finished, open_run, spoil


def test_one_line_per_instance_and_arm(tmp_path: Path) -> None:
    finished(tmp_path)
    frame = records.load(tmp_path)
    assert len(frame) == 6
    assert set(frame["arm"]) == {"trigger_only", "notes_only"}
    assert set(frame["model"]) == {"tiny-llama"}
    assert frame["patched"].tolist()[:2] == [0.1, 3.9]
    assert {"layer", "kept", "share", "label", "experiment", "seed", "key", "file"} <= set(frame.columns)


def test_successes_of_every_experiment_model_and_seed(tmp_path: Path) -> None:
    finished(tmp_path, seed=0)
    newest = finished(tmp_path, seed=1)
    finished(tmp_path, model={"name": "other"})
    with pytest.raises(ValueError, match="x"), open_run(tmp_path, seed=2):
        raise ValueError("x")
    found = load_records(tmp_path)
    assert [(r.model_name, r.seed) for r in found] == [("other", 0), ("tiny-llama", 0), ("tiny-llama", 1)]
    assert found[2].path == newest
    assert len(load(tmp_path)) == 18
    assert len(load(tmp_path, latest=False)) == 18
    assert len(load_records(tmp_path, status=("error",))) == 1
    assert load(tmp_path, experiment="absent").empty


def test_a_run_of_ones_own_takes_the_place_of_no_record_where_it_is_left_out(tmp_path: Path) -> None:
    committed = finished(tmp_path)
    own = finished(tmp_path / LOCAL)
    assert [r.path for r in load_records(tmp_path, without=LOCAL)] == [committed]
    assert {r.path for r in load_records(tmp_path, latest=False)} == {own, committed}
    assert [r.path for r in load_records(tmp_path / LOCAL, without=LOCAL)] == [own]


def test_headlines(tmp_path: Path) -> None:
    finished(tmp_path)
    frame = headlines(tmp_path)
    assert frame[
        ["model", "name", "value", "ci_low", "ci_high", "n_families", "n_instances"]
    ].to_numpy().tolist() == [["tiny-llama", "notes_only", 0.99, 0.9, 1.1, 3, 3]]


def test_empty_folder_gives_an_empty_frame_with_columns(tmp_path: Path) -> None:
    assert {"family", "arm", "patched", "model"} <= set(load(tmp_path).columns)
    assert "ci_low" in headlines(tmp_path).columns
    with pytest.raises(PkvError, match="there is no folder"):
        load(tmp_path / "absent")


def test_bad_record_is_never_skipped(tmp_path: Path) -> None:
    spoil(finished(tmp_path), "/rows/0/clean", "x")
    with pytest.raises(PkvError, match="/rows/0/clean"):
        load(tmp_path)


def test_extra_columns_do_not_overwrite(tmp_path: Path) -> None:
    odd = Row(family="alpha", split="s", instance=9, wording=0, arm="b", extra={"arm": "mine"})
    with open_run(tmp_path) as run:
        fill(run, rows=[*filled()["rows"], odd])
    frame = load(tmp_path)
    assert frame["arm"].tolist()[-1] == "b"
    assert frame["extra_arm"].tolist()[-1] == "mine"


def test_record_round_trips_through_its_file(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        fill(run)
    assert read(run.path).model_dump() == run.record.model_dump()


def test_published_figures_are_whole() -> None:
    frame = published()
    assert set(frame["model"]) == {"Llama-3.1-8B", "Qwen3-8B", "Gemma-2-9B", "Mistral-7B"}
    assert frame["id"].is_unique
    assert frame["source"].str.startswith("arXiv 2606.17107, ").all()
    assert frame["value"].between(-0.1, 1.1).all()
    interval = frame.dropna(subset=["ci_low", "ci_high"])
    assert len(interval) == len(frame)
    for low, value, high in interval[["ci_low", "value", "ci_high"]].to_numpy().tolist():
        assert low - 5e-4 <= value <= high + 5e-4
    expected = {
        "trigger_only",
        "notes_only",
        "top_aggregator",
        "read_heads_top12",
        "read_heads_random12",
        "write_heads_top12_one_aggregator",
        "attention_share",
    }
    assert expected <= set(frame["headline"])


def test_published_of_one_headline() -> None:
    frame = published("read_heads_top12").set_index("model")
    assert frame["value"].to_dict() == {
        "Llama-3.1-8B": 0.784,
        "Qwen3-8B": 0.773,
        "Gemma-2-9B": 0.718,
        "Mistral-7B": 0.824,
    }
    assert isinstance(frame, pd.DataFrame)
    with pytest.raises(PkvError, match="no published figure for 'nothing'; choose from attention_share"):
        published("nothing")


def test_published_beside_ours_are_a_line_a_model(tmp_path: Path) -> None:
    ours = HeadlineFigure(value=0.912, ci_low=0.85, ci_high=0.97, n_families=3, n_instances=6)
    with open_run(tmp_path) as run:
        fill(run, headline={"read_heads_top12": ours, "attention_share": ours, "own_idea": ours})
    beside = beside_published(run.record)
    assert "own_idea" not in beside
    read_heads = {figure.model: str(figure) for figure in beside["read_heads_top12"]}
    assert read_heads["Llama-3.1-8B"] == "0.784 [0.753, 0.799] n=12"
    assert set(read_heads) == {"Llama-3.1-8B", "Qwen3-8B", "Gemma-2-9B", "Mistral-7B"}
    assert any("ranked and scored on the same instances" in f.note for f in beside["read_heads_top12"])
    assert all(f.source.startswith("arXiv 2606.17107") for f in beside["read_heads_top12"])


def test_an_experiment_without_published_figures_has_none_beside_it(tmp_path: Path) -> None:
    ours = HeadlineFigure(value=0.9, ci_low=0.8, ci_high=1.0, n_families=3, n_instances=6)
    with open_run(tmp_path) as run:
        fill(run, headline={"own_idea": ours})
    assert beside_published(run.record) == {}
