"""Runs that are killed, and disks that fail: every file is whole, and every run goes on."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pkv_interp import files
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, check, read, run
from pkv_interp.records.archive import Head, archive_path
from pkv_interp.records.environment import environment
from pkv_interp.records.find import PARTIAL
from pkv_interp.streams import stream
from tests.records.children import in_child
from tests.records.examples import ARRAYS, INFO, Measured, filled, open_run
from tests.records.test_run import Part

#: Parts of a run: few, because every step on the disk is tried.
PARTS = 2
#: Random moments at which a run is killed; ``PKV_CRASHES=50`` tries more.
CRASHES = int(os.environ.get("PKV_CRASHES", "10"))
ENVIRONMENT = environment(device="cpu", dtype="float32", attention="sdpa")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about versions and commits, which take programs of their own to find out."""
    monkeypatch.setattr(run, "environment", lambda **_: ENVIRONMENT)


def work(results: Path, *, resume: bool = True) -> RunRecord:
    """A run of several parts whose numbers are random, with arrays and an archive."""
    with open_run(results, resume=resume) as at:
        if not at.done:
            if at.measured is None:
                parts = [
                    at.stages.once(
                        f"part/{i}", lambda i=i: Part(int(stream(0, i).integers(1 << 30))), Part, time.time
                    ).value
                    for i in range(PARTS)
                ]
                at.note("self_patch", 0.0, 0.0, 1e-6)
                controls, when = tuple(at.controls), "2026-01-01T00:00:00+00:00"
                head = Head(dict(INFO), controls, {"margin": 2e-5}, ENVIRONMENT, (), when, 1.5)
                at.keep(head, Measured(np.array([float(part.i) for part in parts])), Measured)
            found = at.archive(Measured)
            rows = filled()["rows"]
            rows[0] = rows[0].model_copy(update={"patched": float(found.measured.margins.sum())})
            at.succeed(filled() | {"rows": rows}, ARRAYS)
    return at.record


def numbers(record: RunRecord) -> dict[str, Any]:
    """Everything in a record that is no time of day."""
    return record.model_dump(exclude={"started_at", "seconds"})


def assert_whole(results: Path) -> None:
    """Every record is valid, and what is beside it is what it names."""
    if results.is_dir():
        assert check(results)[1] == []


def assert_goes_on(results: Path, undisturbed: RunRecord) -> None:
    """The same command once more ends as if nothing had happened."""
    assert numbers(work(results)) == numbers(undisturbed)
    assert_whole(results)
    assert not (results / PARTIAL).exists()
    assert list(results.rglob("*.part")) == []
    assert len(list(results.rglob("*.json"))) == 1


@pytest.fixture
def undisturbed(tmp_path: Path) -> RunRecord:
    return work(tmp_path / "undisturbed")


def test_killed_at_random_moments(tmp_path: Path, undisturbed: RunRecord) -> None:
    """Every moment of the run, from its first write to its last, and often twice in a row."""
    moments, longest, killed = random.Random(0), 0.5, 0
    for i in range(50 * CRASHES):
        if killed >= CRASHES:
            break
        results = tmp_path / f"killed{i}"
        for _ in range(2):
            moment = moments.uniform(0.0, longest)
            if in_child(lambda results=results: work(results), moment) == 0:
                longest = moment  # it had ended by then
            else:
                killed += 1
            assert_whole(results)
        assert_goes_on(results, undisturbed)
        longest = min(0.5, 1.5 * longest)
    assert killed >= CRASHES


def test_killed_while_an_earlier_success_is_repeated(tmp_path: Path, undisturbed: RunRecord) -> None:
    """The earlier one stands until the repeat has succeeded."""
    results = tmp_path / "repeated"
    first = work(results)
    before = archive_path(first.path or results).read_bytes()
    assert in_child(lambda: work(results, resume=False), 0.01) in (0, signal.SIGKILL)
    assert_whole(results)
    assert read(first.path or results).status == "success"
    assert archive_path(first.path or results).read_bytes() == before
    assert_goes_on(results, undisturbed)


class Disk:
    """Counts what a run does to the disk, and calls ``then`` in place of the step number ``at``, or after."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, at: int, then: Callable[[], None], stays: bool
    ) -> None:
        self.count, self.at, self.then, self.stays = 0, at, then, stays
        for owner, name in ((files.os, "fsync"), (files.os, "replace"), (Path, "open"), (Path, "mkdir")):
            monkeypatch.setattr(owner, name, self.counted(getattr(owner, name)))

    def counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """The real step, but for those that fail."""

        def step(*arguments: Any, **named: Any) -> Any:
            writes = "r" not in str(arguments[1:2])
            if writes:
                self.count += 1
                if self.count == self.at or (self.stays and self.count > self.at):
                    self.then()
            return real(*arguments, **named)

        return step


def steps(monkeypatch: pytest.MonkeyPatch, results: Path) -> int:
    """How many steps an undisturbed run takes on the disk."""
    with monkeypatch.context() as patched:
        disk = Disk(patched, -1, lambda: None, stays=False)
        work(results)
    assert disk.count > 6 * PARTS
    return disk.count


def test_killed_at_every_step_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, undisturbed: RunRecord
) -> None:
    """Between any two of: a folder made, a file opened, its content flushed, its name put in place."""
    for at in range(1, steps(monkeypatch, tmp_path / "counted") + 1):
        results = tmp_path / f"step{at}"

        def act(results: Path = results, at: int = at) -> None:
            Disk(monkeypatch, at, lambda: os.kill(os.getpid(), signal.SIGKILL), stays=False)
            work(results)

        assert in_child(act) == signal.SIGKILL
        assert_whole(results)
        assert_goes_on(results, undisturbed)


#: Full or read-only from some step on, or broken for one step alone; and of how many steps one is tried.
FAILING = [(errno.ENOSPC, True, 1), (errno.EROFS, True, 3), (errno.EIO, False, 2)]


@pytest.mark.parametrize(("number", "stays", "stride"), FAILING)
def test_a_disk_that_fails_at_any_step_is_one_line_and_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    undisturbed: RunRecord,
    number: int,
    stays: bool,
    stride: int,
) -> None:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    lines: list[str] = []
    for at in range(1, steps(monkeypatch, tmp_path / "counted") + 1, stride):
        results = tmp_path / f"step{at}"
        with monkeypatch.context() as patched:
            Disk(patched, at, fail, stays)
            try:
                work(results)
            except PkvError as error:
                lines.append(str(error))
        assert list(results.rglob("*.part")) == []
        assert_whole(results)
        assert_goes_on(results, undisturbed)
    assert len(lines) > 2
    assert all("\n" not in line and os.strerror(number) in line for line in lines)


def test_a_results_folder_under_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(PkvError, match="cannot write"):
        work(tmp_path / "file" / "results")
    assert (tmp_path / "file").read_text() == "x"
