"""Runs that a launcher starts in processes of their own: each fails alone, and the command names those."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.records import Interrupted
from pkv_interp.records.controls import ControlFailure
from pkv_interp.records.tables import TableAbsent
from pkv_interp.run import launchers
from pkv_interp.run.jobs import Jobs
from pkv_interp.run.launchers import LAUNCHERS, check_launcher
from pkv_interp.run.sweep import NEVER, SILENT, Outcome, Sweep, named
from pkv_interp.tasks.findings import FileProblems, Finding
from tests import runs

LONG = f"{'cause ' * 200}of it"


@pytest.mark.parametrize(
    "error",
    [
        *(kind("no such thing", "another") for kind in (PkvError, ControlFailure, TableAbsent, Interrupted)),
        PkvError(LONG, "a hint"),
        FileProblems([Finding("a.yaml", "wrong", "mend it"), Finding("b.yaml", "wrong", "mend it")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_from_another_process_as_it_was(error: PkvError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.cause, again.hint, again.code) == (
        type(error), str(error), error.cause, error.hint, error.code
    )  # fmt: skip


@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_that_is_not_installed_is_one_line_that_names_the_extra(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "_there", lambda _: False)
    line = rf"hydra/launcher={name} needs hydra_\w+_launcher; pip install -e '\.\["
    with pytest.raises(PkvError, match=line):
        check_launcher(["model=a,b", f"hydra/launcher={name}", "--multirun"])


def test_extras_are_those_of_pyproject() -> None:
    text = (runs.ROOT / "pyproject.toml").read_text()
    for launcher in LAUNCHERS.values():
        extra = launcher.install.partition(".[")[2].partition("]")[0]
        assert f"\n{extra} = [" in text


@pytest.mark.parametrize(
    ("argument", "cause"),
    [
        ("hydra/launcher=submitit_slrum", "unknown launcher 'submitit_slrum'; did you mean 'submitit_slurm'"),
        ("hydra/launcher=submitit_local", "is for sweeps, and this is one run; add --multirun"),
    ],
)
def test_a_launcher_that_would_not_be_used_is_refused(
    argument: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launchers, "_there", lambda _: True)
    with pytest.raises(PkvError, match=cause):
        check_launcher(["model=tiny-llama", argument])
    check_launcher(["model=tiny-llama", "hydra/launcher=basic"])


def told(outcomes: list[Outcome]) -> list[str]:
    return [str(outcome.line) for outcome in outcomes]


def test_runs_that_say_nothing_are_failures(tmp_path: Path) -> None:
    """Killed before they began, killed while they ran, and one whose file is damaged."""
    sweep = Sweep()
    sweep.folder, sweep.runs = tmp_path / ".jobs", [["a=1"], ["a=2"], ["a=3"], ["a=4"]]
    Outcome(["a=1"]).write(sweep.folder / "t" / "000000.json")
    Outcome(["a=2"], SILENT).write(sweep.folder / "t" / "000001.json")
    Outcome(["a=9"]).write(sweep.folder / "another command" / "000000.json")
    assert told(sweep.outcomes("t")) == ["None", SILENT, NEVER, NEVER]
    assert (sweep.folder / "t").is_dir()  # the one that is silent may be running, and will write
    (sweep.folder / "t" / "000001.json").write_text('{"half')
    assert told(sweep.outcomes("t"))[1].startswith("what it left cannot be read")
    assert [path.name for path in sweep.folder.iterdir()] == ["another command"]


def test_runs_are_named_by_what_they_differ_in() -> None:
    both = [Outcome(["seed=1", "model=a", "n=2"]), Outcome(["seed=1", "model=b", "n=2"])]
    assert named(both) == ["model=a", "model=b"]
    assert named(both[:1]) == ["seed=1,model=a,n=2"]
    assert named([Outcome([]), Outcome([])]) == ["number 1", "number 2"]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As if a launcher had started this process; the folder in which outcomes are left."""
    hydra = {
        "mode": RunMode.MULTIRUN,
        "sweep": {"dir": "sweep"},
        "job": {"num": 3},
        "overrides": {"task": ["seed=7"]},
        "runtime": {"cwd": str(tmp_path), "choices": {"hydra/launcher": "submitit_slurm"}},
    }
    config = OmegaConf.create(hydra)
    monkeypatch.setattr(HydraConfig, "get", staticmethod(lambda: config))
    return tmp_path / "sweep" / ".jobs"


def left(place: Path) -> Any:
    (file,) = place.glob("*/000003.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (PkvError("it is wrong", "mend it"), "it is wrong; mend it"),
        (Interrupted("stopped", "again"), "stopped; again"),
        (ValueError("a\nbug"), "ValueError: a bug"),
        (None, None),
    ],
)
def test_a_run_elsewhere_raises_nothing_and_leaves_its_line(
    elsewhere: Path, error: Exception | None, line: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(_: CircuitSettings) -> None:
        assert left(elsewhere)["line"] == SILENT
        if error is not None:
            raise error

    Jobs(CircuitSettings, act).run(OmegaConf.create({"model": "tiny-llama"}))
    assert left(elsewhere) == {"overrides": ["seed=7"], "line": line}
    assert (capsys.readouterr().err.splitlines() or [""])[-1] == (f"error: {line}" if line else "")


def test_a_run_whose_time_is_over_ends_as_its_launcher_wants_it(elsewhere: Path) -> None:
    """Submitit raises `SystemExit` in it, and submits it again."""

    def act(_: CircuitSettings) -> None:
        raise SystemExit(-1)

    with pytest.raises(SystemExit):
        Jobs(CircuitSettings, act).run(OmegaConf.create({"model": "tiny-llama"}))
    assert left(elsewhere)["line"] == SILENT


SMALL = (
    "experiments.layouts",
    "families=[orders,support]",
    "layouts=[standard]",
    "instances=1",
    "bootstrap_draws=100",
    "verify=none",
    "threads=1",
)


def swept(results: Path, launcher: str, *arguments: str, seconds: float = 300) -> Any:
    """A sweep of a model that works and one that does not, by a launcher."""
    return runs.run(
        *SMALL,
        f"results_dir={results}",
        f"hydra.sweep.dir={results}-sweep",
        "--multirun",
        "model=tiny-llama,local",
        f"hydra/launcher={launcher}",
        *arguments,
        seconds=seconds,
    )


def check_swept(done: subprocess.CompletedProcess[str], results: Path) -> None:
    """The one is there, the other has its line, and the end names it."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stderr
    assert lines[-2:] == [
        "error: model=local: config: Missing mandatory value: path; set the key on the command line",
        "error: 1 of 2 runs failed: model=local; their lines say why",
    ]
    (record,) = (results / "layouts").glob("*.json")
    assert json.loads(record.read_text())["status"] == "success"
    assert not (results.parent / f"{results.name}-sweep" / ".jobs").exists()


def test_submitit_runs_each_on_its_own(tmp_path: Path) -> None:
    done = swept(tmp_path / "results", "submitit_local")
    check_swept(done, tmp_path / "results")
    assert "Traceback" not in done.stderr


FOUR = """
import os, sys
from submitit.core.core import Job
from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.command import command

Job._results_timeout_s = 1  # it waits so long for a file system that is slow to show what a job has left

def act(settings):
    if settings.seed == 1:
        raise PkvError("no such thing", "do another")
    if settings.seed == 2:
        raise ValueError("a bug")
    if settings.seed == 3:
        os.kill(os.getpid(), 9)

if __name__ == "__main__":
    command("circuit", CircuitSettings, act)()
"""


def test_each_way_to_fail_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    """Bad input, a bug, and a process that is killed; torch is not imported by any of them."""
    script = tmp_path / "four.py"
    script.write_text(FOUR)
    line = [sys.executable, str(script), "--multirun", "seed=0,1,2,3", "hydra/launcher=submitit_local"]
    done = subprocess.run(
        [*line, f"hydra.sweep.dir={tmp_path}/sweep"],
        env=os.environ | runs.ONE_THREAD | {"PYTHONPATH": str(runs.ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert lines[0].startswith("error: the launcher submitit_local stopped: UncompletedJobError: ")
    assert lines[1:] == [
        "error: seed=1: no such thing; do another",
        "error: seed=2: ValueError: a bug",
        f"error: seed=3: {SILENT}",
        "error: 3 of 4 runs failed: seed=1; seed=2; seed=3; their lines say why",
    ]


def test_what_a_launcher_cannot_do_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No Slurm is found."""
    monkeypatch.setenv("PATH", str(tmp_path))
    done = runs.run(
        *SMALL,
        f"results_dir={tmp_path}/results",
        f"hydra.sweep.dir={tmp_path}/sweep",
        "--multirun",
        "model=tiny-llama,tiny-qwen3",
        "hydra/launcher=submitit_slurm",
    )
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert lines[0].startswith("error: the launcher submitit_slurm stopped: ")
    assert lines[-1] == "error: 2 of 2 runs failed: model=tiny-llama; model=tiny-qwen3; their lines say why"
    assert "Traceback" not in done.stderr
