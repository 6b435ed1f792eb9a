"""Whether a file stands in git's history as it is: tried in repositories made for the purpose."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.run.committed import committed


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a user's settings of git nor a repository around this one counts."""
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file in a folder of a repository with one commit."""
    place = tmp_path / "configs" / "claims.yaml"
    place.parent.mkdir()
    place.write_text("a: 1\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "first")
    return place


def test_the_last_commit_that_changed_it_is_told(file: Path, tmp_path: Path) -> None:
    first = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "other").write_text("b")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "another file")
    assert committed(file).commit == first != git(tmp_path, "rev-parse", "HEAD")
    assert first in committed(file).remark


@pytest.mark.parametrize("stage", [False, True])
def test_changes_that_are_not_committed_are_refused(file: Path, tmp_path: Path, stage: bool) -> None:
    file.write_text("a: 2\n")
    if stage:
        git(tmp_path, "add", "-A")
    with pytest.raises(PkvError, match="claims.yaml has changes that are not committed; commit it"):
        committed(file)
    git(tmp_path, "commit", "-qam", "second")
    assert committed(file).commit == git(tmp_path, "rev-parse", "HEAD")


def test_changes_that_git_was_told_not_to_look_at_are_refused(file: Path, tmp_path: Path) -> None:
    git(tmp_path, "update-index", "--assume-unchanged", "configs/claims.yaml")
    file.write_text("a: 3\n")
    assert git(tmp_path, "status", "--porcelain") == ""
    with pytest.raises(PkvError, match="has changes that are not committed"):
        committed(file)


@pytest.mark.parametrize("ignored", [False, True])
def test_a_file_that_was_never_committed_is_refused(file: Path, tmp_path: Path, ignored: bool) -> None:
    beside = file.with_name("mine.yaml")
    beside.write_text("a: 1\n")
    if ignored:
        (tmp_path / ".gitignore").write_text("mine.yaml\n")
    with pytest.raises(PkvError, match="mine.yaml is in no commit; commit it"):
        committed(beside)


def test_outside_of_a_checkout_nothing_is_known_and_the_remark_says_so(tmp_path: Path) -> None:
    file = tmp_path / "claims.yaml"
    file.write_text("a: 1\n")
    found = committed(file)
    assert found.commit is None
    assert "no git checkout" in found.remark


def test_without_git_nothing_is_known(file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert committed(file).commit is None
