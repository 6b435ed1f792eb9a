"""Own scenarios and pairs: run, summarised again, and refused in one line before a model loads."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from experiments import find
from experiments.circuit.experiment import EXPERIMENT
from experiments.figures.rooms import drawn_by
from experiments.patching.ranking import RankedSites
from pkv_interp.errors import PkvError
from pkv_interp.measure.anchor_ranking import anchors, make_rankings
from pkv_interp.measure.competence import Decision
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import TableAbsent
from pkv_interp.tasks import default_scenarios
from pkv_interp.tasks.pairs import load_pairs
from pkv_interp.tasks.sites import site_labels
from tests.families import tiny

SIZES: dict[str, Any] = {
    "model": "tiny-llama",
    "instances": 1,
    "write_sweeps": 2,
    "write_instances": 1,
    "random_draws": 2,
    "top_k": [1, 2],
    "bootstrap_draws": 100,
    "verify": "none",
}


def scenarios(path: Path, **changes: Any) -> Path:
    """Four families of other names than the packaged ones, two a split, and one rule wording."""
    packaged = default_scenarios()
    families = [
        {
            "name": f"my_{family.name}",
            "role": family.role,
            "field": family.field,
            "values": list(family.values),
            "actions": list(family.actions),
            "request": family.request,
            "split": family.split,
        }
        for split in ("discovery", "held_out")
        for family in packaged.split(split)[:2]
    ]
    rules = {"when": "When the {field} reads {trigger}, choose {act}. In any other case choose {other}."}
    path.write_text(yaml.safe_dump({"families": families, "rules": rules} | changes))
    return path


def pairs(path: Path, change: dict[str, Any] | None = None) -> Path:
    """Four pairs, two a split, in two families."""
    lines = []
    for split in ("discovery", "held_out"):
        for family, words in (("orders", ("pending", "shipped")), ("lamps", ("green", "red"))):
            seen = "is" if split == "discovery" else "now is"
            prompt = f"The {{0}} status {seen} {{1}}. Answer with one word, cancel or deny. Action:"
            clean, corrupt = (prompt.format(family, word) for word in words)
            line = {"clean": clean, "corrupt": corrupt, "answer": "cancel", "wrong": "deny"}
            lines.append(line | {"family": family, "split": split, "instance": f"{split}-{family}"})
    lines[-1] |= change or {}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_own_scenarios_run_and_are_known_by_their_content(tmp_path: Path) -> None:
    file = scenarios(tmp_path / "my.yaml")
    record = EXPERIMENT.run(scenarios=file, results_dir=tmp_path / "results", **SIZES)
    assert {row.family for row in record.rows} == {
        f"my_{name}" for name in ("orders", "support", "documents", "alerts")
    }
    assert {row.wording for row in record.rows} == {"when"}
    config: dict[str, Any] = record.config
    assert config["scenarios"]["name"] == "my.yaml"
    assert record.path is not None
    again = EXPERIMENT.summarise_again(record.path)
    assert again.model_dump() == record.model_dump()

    def key(path: Path) -> str:
        return EXPERIMENT.keys(EXPERIMENT.settings(scenarios=path, **SIZES)).measurement  # pyright: ignore

    assert key(file) == record.key
    other = scenarios(tmp_path / "other" / "my.yaml") if (tmp_path / "other").mkdir() is None else file
    assert key(other) == record.key
    rules = {"when": "When the {field} is {trigger}, choose {act}. In any other case choose {other}."}
    assert key(scenarios(tmp_path / "other" / "my.yaml", rules=rules)) != record.key


def test_own_pairs_run(tmp_path: Path) -> None:
    file = pairs(tmp_path / "my.jsonl")
    record = EXPERIMENT.run(pairs=file, results_dir=tmp_path / "results", **SIZES)
    assert {row.family for row in record.rows} == {"orders", "lamps"}
    assert {str(line["arm"]) for line in record.tables["states"]} == {"change_only", "notes_only"}
    assert any(row.arm == "change_only" and row.split == "held_out" for row in record.rows)
    assert all(control.passed for control in record.controls)


SMALL: dict[str, dict[str, Any]] = {
    "patching": {
        "random_draws": 1,
        "top_k": [1],
        "shares": [0.5, 1.0],
        "knockout_shares": [0.5],
        "knockout_draws": 1,
        "grid_cases": 1,
    },
    "blast_radius": {"random_draws": 1, "guide_sizes": [1]},
}


def test_what_flips_is_a_question_about_scenarios_alone(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="'flip' is about scenarios, and pairs stand in for them"):
        EXPERIMENT.run(pairs=pairs(tmp_path / "my.jsonl"), flip="field")


def uneven_pairs(path: Path) -> Path:
    """Prompts of two lengths: one opens with the change, one is of a family that nothing was ranked on."""
    answers = {"answer": "cancel", "wrong": "deny"}
    texts = (
        ("lamps", "discovery", "The lamp is {}. Answer cancel or deny. Action:"),
        ("lamps", "held_out", "The old lamp is {}. Answer cancel or deny. Action:"),
        ("signs", "held_out", "{} it is, says Ann to Bob. Answer cancel or deny now:"),
    )
    lines = [
        {"clean": text.format("pending"), "corrupt": text.format("shipped"), "family": family, "split": split}
        for family, split, text in texts
    ]
    path.write_text("".join(json.dumps(line | answers) + "\n" for line in lines))
    return path


@pytest.fixture(scope="module", params=SMALL)
def own(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp(request.param)
    settings = {"model": "tiny-llama", "bootstrap_draws": 100, "verify": "none"} | SMALL[request.param]
    file = uneven_pairs(folder / "my.jsonl")
    return find(request.param).run(pairs=file, results_dir=folder / "results", **settings)


def test_what_needs_no_rule_runs_on_pairs_and_the_rest_is_said_to_be_missing(own: RunRecord) -> None:
    assert all(control.passed for control in own.controls)
    assert any(remark.startswith("own pairs: ") and "left out" in remark for remark in own.remarks)
    absent = {
        "patching": {"dose", "field_places", "cot", "cot_setup", "equivalence"},
        "blast_radius": {"by_field"},
    }[own.experiment]
    assert not absent & set(own.tables)
    if own.experiment == "patching":
        assert {row.family for row in own.rows} == {"lamps", "signs"}
        assert {row.split for row in own.rows if row.arm != "unpatched"} == {"held_out"}
        assert [row.family for row in own.rows if row.arm == "unpatched"] == ["lamps"]
        assert set(own.noise_floor) == {"margin", "self_patch"}
        states = {line["arm"]: line["value"] for line in own.tables["states"]}
        assert states["full_downstream"] == pytest.approx(1.0, abs=1e-3)
        assert "change_only" in states
        (span,) = [line for line in own.tables["knockout_spans"] if line["knockout"] == "change"]
        assert span["n_instances"] == 2
        # Without a rule and a question that are known there are two paths; one prompt opens with its change.
        assert [line["path"] for line in own.tables["paths"]] == ["notes_field", "decision_field"]
        # Places are told apart by their distance from the end; nothing else is known of such a prompt.
        labels = {str(line["label"]) for line in own.tables["positions"]}
        assert labels == {f"plain-{i}" for i in range(1, len(labels) + 1)}
    else:
        assert {str(line["field_class"]) for line in own.tables["by_class"]} == {"high"}
        assert [row.split for row in own.rows if row.arm == "high/semantic/0"].count("discovery") == 1
        assert own.headline["before_field_max"].value == 0.0
        assert "blast_share_high_minus_low" not in own.headline


def test_a_record_of_pairs_is_made_again_and_drawn_without_empty_figures(own: RunRecord) -> None:
    assert own.path is not None
    assert find(own.experiment).summarise_again(own.path).model_dump() == own.model_dump()
    absent = set()
    for name, draw in drawn_by(own.experiment).items():
        try:
            figure = draw(own)
        except TableAbsent:
            absent.add(name)
        else:
            traces: Any = figure.data
            drawn = [trace for trace in traces if trace.type in ("scatter", "bar")]
            assert all(trace.x is not None and len(trace.x) for trace in drawn), name
    assert absent == ({"dose", "places"} if own.experiment == "patching" else set())


def test_a_family_that_nothing_was_ranked_on_takes_the_ranking_of_all(tmp_path: Path) -> None:
    cases = load_pairs(uneven_pairs(tmp_path / "my.jsonl"), tiny("llama").tokenizer)
    right = Decision("lamps", "one", True, 3.0, True, True)
    ranking = cases[:1]
    n = len(anchors(ranking[0]))
    sites = RankedSites(1.0, -1.0, (right, right), np.arange(n) - 1.0, np.ones(n))
    rankings = make_rankings(ranking, [sites], [case.family for case in cases[1:]])
    assert rankings["signs"] == rankings["lamps"]
    assert rankings["lamps"].effect[anchors(ranking[0])[-1]] == pytest.approx((n - 1) / 2)
    label = site_labels(ranking[0].clean)[ranking[0].after_change]
    assert label == f"plain-{len(ranking[0].clean) - 1 - ranking[0].after_change}"


@pytest.mark.parametrize("experiment", ["keystone", "editing", "composing", "controls", "bench", "agent"])
def test_pairs_are_refused_in_one_line_where_a_rule_is_needed(experiment: str, tmp_path: Path) -> None:
    file = uneven_pairs(tmp_path / "my.jsonl")
    with pytest.raises(PkvError, match=r"'pairs' cannot be used here: .*patching on them") as raised:
        find(experiment).run(pairs=file)
    assert "\n" not in str(raised.value)


def refused(
    experiment: str,
    argument: str,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """The one line with which a command line refuses an argument."""
    monkeypatch.setattr("sys.argv", [experiment, argument])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"experiments.{experiment}.__main__").main()
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize("plus", ["", "+", "++"])
def test_the_command_line_refuses_pairs_in_the_same_words(
    plus: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = uneven_pairs(tmp_path / "my.jsonl")
    line = refused("keystone", f"{plus}pairs={file}", monkeypatch=monkeypatch, capsys=capsys)
    assert line.startswith("error: 'pairs' cannot be used here: it needs a rule")


@pytest.mark.parametrize(
    ("experiment", "key", "value"),
    [
        ("patching", "families", ["orders", "alerts"]),
        ("patching", "chat", False),
        ("circuit", "held_out", ["alerts"]),
        ("blast_radius", "fillers", [4]),
    ],
)
def test_pairs_and_what_scenarios_are_like_are_not_given_together(
    experiment: str, key: str, value: Any, tmp_path: Path
) -> None:
    file = uneven_pairs(tmp_path / "my.jsonl")
    with pytest.raises(PkvError, match=f"'{key}' is about scenarios"):
        find(experiment).run(pairs=file, results_dir=tmp_path, **{key: value})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"wrong": "cancel"}, "my.jsonl:4"),
        ({"corrupt": "The lamps status is red. Answer."}, "my.jsonl:4"),
        ({"colour": 1}, "my.jsonl:4"),
    ],
)
def test_a_bad_pair_is_one_line_before_a_model_loads(
    tmp_path: Path, change: dict[str, Any], cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pkv_interp.run.session.load", lambda _: pytest.fail("a model was loaded"))
    with pytest.raises(PkvError, match=cause) as raised:
        EXPERIMENT.run(pairs=pairs(tmp_path / "my.jsonl", change), results_dir=tmp_path / "results", **SIZES)
    assert "\n" not in str(raised.value)


def test_pairs_of_one_split_are_refused(tmp_path: Path) -> None:
    file = pairs(tmp_path / "my.jsonl")
    file.write_text("\n".join(file.read_text().splitlines()[:2]))
    with pytest.raises(PkvError, match="no pair of the split 'held_out'"):
        EXPERIMENT.run(pairs=file, results_dir=tmp_path / "results", **SIZES)


def test_bad_scenarios_on_the_command_line_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = scenarios(tmp_path / "my.yaml", rules={"when": "When the {field} is {trigger}, choose {act}."})
    line = refused("circuit", f"scenarios={file}", monkeypatch=monkeypatch, capsys=capsys)
    assert "my.yaml" in line
    assert "other" in line
    missing = f"scenarios={tmp_path / 'none.yaml'}"
    assert "cannot be read" in refused("circuit", missing, monkeypatch=monkeypatch, capsys=capsys)
