"""Own scenarios and pairs: run, summarised again, and refused in one line before a model loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from experiments.circuit.experiment import EXPERIMENT
from pkv_interp.errors import PkvError
from pkv_interp.tasks import default_scenarios
from tests import runs

SIZES: dict[str, Any] = {
    "model": "tiny-llama",
    "instances": 1,
    "write_sweeps": 2,
    "write_instances": 1,
    "random_draws": 2,
    "top_k": [1, 2],
    "bootstrap_draws": 100,
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
            prompt = "The {0} status is {1}. Answer with one word, cancel or deny. Action:"
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


def test_bad_scenarios_on_the_command_line_are_one_line(tmp_path: Path) -> None:
    file = scenarios(tmp_path / "my.yaml", rules={"when": "When the {field} is {trigger}, choose {act}."})
    done = runs.run("experiments.circuit", f"scenarios={file}", f"results_dir={tmp_path / 'results'}")
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.strip()]
    assert "my.yaml" in line
    assert "other" in line
    missing = runs.run("experiments.circuit", f"scenarios={tmp_path / 'none.yaml'}")
    assert missing.returncode == 2
    assert "cannot be read" in missing.stderr
