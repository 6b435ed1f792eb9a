import subprocess
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records import code_version, content_key
from pkv_interp.records.environment import git_state
from pkv_interp.records.key import hash_sources

BASE: dict[str, Any] = {
    "experiment": "probe",
    "model": {"name": "m", "dtype": "float32", "device": "cpu"},
    "config": {"sizes": {"n": 4, "k": [1, 2]}, "results_dir": "a", "memory_budget_mb": 100},
    "seed": 0,
    "code": "c",
}


def key_of(question: dict[str, Any]) -> str:
    return content_key(**question)


def test_same_question_same_key() -> None:
    again = BASE | {"config": {"results_dir": "b", "memory_budget_mb": 5, "sizes": {"k": (1, 2), "n": 4}}}
    assert key_of(again) == key_of(BASE)
    assert len(key_of(BASE)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"experiment": "other"},
        {"model": BASE["model"] | {"name": "n"}},
        {"model": BASE["model"] | {"dtype": "bfloat16"}},
        {"model": BASE["model"] | {"device": "cuda"}},
        {"config": {"sizes": {"n": 5, "k": [1, 2]}}},
        {"config": {"sizes": {"n": 4, "k": [2, 1]}}},
        {"config": {"sizes": {"n": 4, "k": [1, 2]}, "extra": None}},
        {"seed": 1},
        {"code": "d"},
    ],
)
def test_every_part_of_the_question_changes_the_key(change: dict[str, Any]) -> None:
    assert key_of(BASE | change) != key_of(BASE)


def test_ignored_keys_are_ignored_at_any_depth() -> None:
    nested = BASE | {"config": BASE["config"] | {"run": {"figure_dir": "x", "hydra": {"job": 1}}}}
    plain = BASE | {"config": BASE["config"] | {"run": {}}}
    assert key_of(nested) != key_of(plain)
    assert key_of(nested | {"ignore": ("figure_dir",)}) == key_of(plain)


def test_paths_and_enums_have_a_form_and_sets_do_not() -> None:
    class Colour(Enum):
        RED = "red"

    rich, plain = {"p": Path("a/b"), "c": Colour.RED}, {"p": "a/b", "c": "red"}
    assert key_of(BASE | {"config": rich}) == key_of(BASE | {"config": plain})
    for bad in ({"a"}, [{"deep": frozenset("a")}], float("nan"), object()):
        with pytest.raises(PkvError, match="the configuration"):
            key_of(BASE | {"config": {"x": bad}})


def test_code_version_follows_names_and_contents(tmp_path: Path) -> None:
    place = tmp_path / "package"
    (place / "sub").mkdir(parents=True)
    (place / "a.py").write_text("x = 1\n")
    (place / "sub" / "b.py").write_text("y = 2\n")
    first = hash_sources({"package": [place]})
    (place / "notes.csv").write_text("not code")
    (place / "a.pyc").write_bytes(b"not source")
    assert hash_sources({"package": [place]}) == first
    (place / "sub" / "b.py").write_text("y = 3\n")
    second = hash_sources({"package": [place]})
    (place / "sub" / "b.py").rename(place / "b.py")
    third = hash_sources({"package": [place]})
    assert len({first, second, third}) == 3
    (place / "text.yaml").write_text("scenario: 1")
    assert hash_sources({"package": [place]}) != third


def test_code_version_of_this_package_is_stable() -> None:
    assert len(code_version()) == 64
    assert key_of(BASE | {"code": None}) == key_of(BASE | {"code": code_version()})


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
