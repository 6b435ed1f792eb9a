import subprocess
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records.code import Code
from pkv_interp.records.environment import git_state
from pkv_interp.records.schema import Keys
from tests.records.examples import MEASURING, SUMMARY, question


def keys(measuring: Code = MEASURING, summary: Code = SUMMARY, **changes: Any) -> Keys:
    return question(**changes).keys(measuring, summary)


def test_same_question_same_keys() -> None:
    again = {"results_dir": "b", "memory_budget_mb": 5, "top_k": (1, 2, 4), "resume": False}
    assert keys(config=again) == keys()
    assert len(keys().measurement) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": "other"},
        {"model": {"name": "n"}},
        {"model": {"dtype": "bfloat16"}},
        {"model": {"device": "cuda"}},
        {"config": {"n_instances": 5}},
        {"config": {"top_k": [4, 2, 1]}},
        {"config": {"extra": None}},
        {"seed": 1},
        {"weights": "others"},
        {"measuring": Code(("a.measure",), "e" * 64)},
    ],
)
def test_whatever_measuring_depends_on_changes_both_keys(change: dict[str, Any]) -> None:
    changed = keys(**change)
    assert changed.measurement != keys().measurement
    assert changed.summary != keys().summary


@pytest.mark.parametrize(
    "change", [{"config": {"bootstrap_draws": 300}}, {"summary": Code(("a.summary",), "e" * 64)}]
)
def test_what_only_a_summary_reads_changes_the_summary_key_alone(change: dict[str, Any]) -> None:
    changed = keys(**change)
    assert changed.measurement == keys().measurement
    assert changed.summary != keys().summary


def test_ignored_settings_are_ignored_at_any_depth() -> None:
    assert keys(config={"run": {"hydra": {"job": 1}}}) == keys(config={"run": {}})
    assert keys(config={"run": {"other": 1}}) != keys(config={"run": {}})


def test_paths_and_enums_have_a_form_and_sets_do_not() -> None:
    class Colour(Enum):
        RED = "red"

    rich, plain = {"p": Path("a/b"), "c": Colour.RED}, {"p": "a/b", "c": "red"}
    assert keys(config=rich) == keys(config=plain)
    for bad in ({"a"}, [{"deep": frozenset("a")}], float("nan"), object()):
        with pytest.raises(PkvError, match="the configuration"):
            keys(config={"x": bad})


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


def test_git_state_of_clean_dirty_and_untracked(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    assert git_state(package) == ("unknown", None)
    _git(tmp_path, "init")
    assert git_state(package) == ("unknown", None)
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "first")
    commit, dirty = git_state(package)
    assert len(commit) == 40
    assert dirty is False
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "run.json").write_text("{}")
    assert git_state(package) == (commit, False)
    (package / "new.py").write_text("x = 1\n")
    assert git_state(package) == (commit, True)


def test_without_git_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() == ("unknown", None)
