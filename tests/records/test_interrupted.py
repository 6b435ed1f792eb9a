"""Runs that are killed, interrupted, or out of disk: nothing written is lost or half-written."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from pkv_interp import files
from pkv_interp.errors import PkvError
from pkv_interp.records import Interrupted, check, read
from pkv_interp.records.archive import archive_path
from tests.records.children import in_child
from tests.records.examples import fill, filled, finished, measure, open_run
from tests.records.test_run import Part, carry_out, once


def test_interrupt_is_one_clear_error_and_keeps_parts(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        once(run, "c")
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="probe on tiny-llama was interrupted; run the same command again"):
        carry_out(run, body)
    assert (read(run.path).status, read(run.path).error) == ("error", "interrupted by the user")
    assert run.stages.read("c", Part) is not None


def _full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_one_clear_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        once(run, "one")
        monkeypatch.setattr(files.os, "fsync", _full)
        once(run, "two")

    with pytest.raises(PkvError, match=r"cannot write .*: No space left on device; free some space"):
        carry_out(run, body)
    monkeypatch.undo()
    assert "could not be recorded" in caplog.text
    assert read(run.path).status == "started"
    assert run.stages.read("one", Part) is not None
    assert run.stages.read("two", Part) is None
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [(errno.ENOSPC, PkvError, "cannot write .*; free some space"), (errno.ENOENT, FileNotFoundError, "gone")],
)
def test_disk_errors_of_the_experiment_itself(
    tmp_path: Path, number: int, kind: type[Exception], message: str
) -> None:
    def body() -> None:
        raise OSError(number, "gone")

    with pytest.raises(kind, match=message):
        carry_out(open_run(tmp_path), body)


def test_full_disk_at_the_end_leaves_an_older_success_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path)
    before = path.read_bytes(), archive_path(path).read_bytes()
    run = open_run(tmp_path, resume=False)

    def body() -> None:
        assert not run.done
        measure(run)
        monkeypatch.setattr(files.os, "replace", _full)
        run.succeed(filled(), {})

    with pytest.raises((PkvError, OSError), match="cannot write|No space left"):
        carry_out(run, body)
    monkeypatch.undo()
    assert (path.read_bytes(), archive_path(path).read_bytes()) == before
    assert list(tmp_path.rglob("*.part")) == []


def test_forced_repeat_keeps_the_success_and_its_measurements_until_it_succeeds(tmp_path: Path) -> None:
    path = finished(tmp_path)
    first = read(path)
    run = open_run(tmp_path, resume=False)

    def body() -> None:
        measure(run)
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        carry_out(run, body)
    assert read(path) == first
    assert check(tmp_path) == (1, [])
    with open_run(tmp_path, resume=False) as run:
        fill(run)
    assert read(path).started_at > first.started_at
    assert check(tmp_path) == (1, [])


def test_unwritable_results_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    run = open_run(tmp_path / "results")

    def body() -> None:
        raise AssertionError("never reached")

    with pytest.raises(PkvError, match="cannot write"):
        carry_out(run, body)


def sweep(results: Path, told: Path, die_at: str) -> None:
    """Two models, one after another, each in three parts; a file is told of every part that is computed."""

    def tell(line: str) -> None:
        with told.open("a") as file:
            file.write(f"{line}\n")

    for model in ("a", "b"):
        with open_run(results, model={"name": model}) as run:
            if run.done:
                tell(f"skip {model}")
                continue
            for i in range(3):

                def compute(model: str = model, i: int = i) -> Part:
                    if f"{model}{i}" == die_at:
                        os.kill(os.getpid(), signal.SIGKILL)
                    tell(f"compute {model} {i}")
                    return Part(i)

                run.stages.once(f"part/{i}", compute, Part, lambda: 0.0)
            fill(run)


def test_kill_9_loses_at_most_the_current_part(tmp_path: Path) -> None:
    """In copies of this process: a new one would import for seconds what this one has imported."""
    results, told = tmp_path / "results", tmp_path / "told"
    assert in_child(lambda: sweep(results, told, "b2")) == signal.SIGKILL
    lines = told.read_text().splitlines()
    assert lines == ["compute a 0", "compute a 1", "compute a 2", "compute b 0", "compute b 1"]
    statuses = sorted(read(path).status for path in (results / "probe").glob("*.json"))
    assert statuses == ["started", "success"]
    assert check(results) == (2, [])
    told.unlink()
    assert in_child(lambda: sweep(results, told, "never")) == 0
    assert told.read_text().splitlines() == ["skip a", "compute b 2"]
    assert check(results) == (2, [])


def test_left_over_parts_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    path = finished(tmp_path)
    part = path.with_name(f".{path.name}.99999.part")
    part.write_bytes(b"half")
    assert check(tmp_path) == (1, [])
    assert open_run(tmp_path).done
    assert not part.exists()
