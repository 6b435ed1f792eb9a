"""Processes that share a results folder, as machines do: one works on a key, and all leave whole files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pkv_interp import files
from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.records import check, read
from pkv_interp.records.find import PARTIAL
from pkv_interp.records.lock import RunLock
from tests.records.examples import fill, open_run

DONE, SKIPPED, REFUSED = 10, 11, 12


def forked(works: list[Callable[[], int]], gate: Path) -> list[int]:
    """Exit codes of processes that do these works, begun at one moment."""
    children = []
    for work in works:
        child = os.fork()
        if child == 0:
            code = 1
            try:  # whatever happens, this process may not go on with pytest
                while not gate.exists():
                    time.sleep(0.001)
                code = work()
            finally:
                os._exit(code)
        children.append(child)
    gate.touch()
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def one_run(results: Path, model: str, holds: float) -> Callable[[], int]:
    """Makes the record of a model, and holds its key that long."""

    def work() -> int:
        try:
            with open_run(results, model={"name": model}) as run:
                if run.done:
                    return SKIPPED
                time.sleep(holds)
                fill(run)
                return DONE
        except PkvError as error:
            return REFUSED if "another run works on this key: " in str(error) else 1

    return work


def test_of_two_writers_of_a_key_one_is_refused_and_the_record_is_whole(tmp_path: Path) -> None:
    for number in range(3):
        results = tmp_path / str(number)
        codes = forked([one_run(results, "m", holds=0.3)] * 2, tmp_path / f"gate{number}")
        assert sorted(codes) in ([DONE, REFUSED], [DONE, SKIPPED])
        assert check(results) == (1, [])
        (path,) = (results / "probe").glob("*.json")
        assert read(path).status == "success"
        assert not (results / PARTIAL).exists()
        assert one_run(results, "m", 0.0)() == SKIPPED


def test_writers_of_different_keys_do_not_touch_one_another(tmp_path: Path) -> None:
    """The last one out removes the folder of locks while others may be on their way in."""
    models = [f"m{index}" for index in range(6)]
    codes = forked([one_run(tmp_path / "r", model, holds=0.0) for model in models], tmp_path / "gate")
    assert codes == [DONE] * len(models)
    assert check(tmp_path / "r") == (len(models), [])


def test_without_locks_two_writers_still_leave_one_whole_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system that has none, or locks of each machine's own: the one that ends last stands.

    The record and its measurements are two files, which may then be of two runs; the check tells of that.
    """

    def unlocked() -> int:
        return one_run(tmp_path / "r", "m", holds=0.05)()

    monkeypatch.setattr(RunLock, "take", lambda *_: None)
    codes = forked([unlocked] * 3, tmp_path / "gate")
    assert codes.count(DONE) >= 1
    assert set(codes) <= {DONE, SKIPPED, 1}
    assert {problem.place for problem in check(tmp_path / "r")[1]} <= {"/measurements"}
    (path,) = (tmp_path / "r" / "probe").glob("*.json")
    assert read(path).status == "success"


def test_processes_of_one_number_on_two_machines_write_two_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda a, b: (seen.append(Path(a).name), replace(a, b)))
    for _ in range(2):
        atomic_write(tmp_path / "x", b"y")
    assert len(set(seen)) == 2
