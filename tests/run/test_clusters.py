"""Sweeps on a Slurm and on a Ray of the test's own, on this machine: ``make test-slurm``.

Slurm wants Debian's ``slurm-wlm`` and ``munge`` and a user that may run them; Ray what docs/sweeps.md says.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import runs
from tests.run.test_sweep import check_swept, swept

pytestmark = [
    pytest.mark.launchers,
    pytest.mark.skipif("PKV_LAUNCHERS" not in os.environ, reason="PKV_LAUNCHERS is not set"),
]
CONFIG = Path(__file__).parent / "slurm" / "slurm.conf.in"
MINUTES = 60.0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A Slurm of one node without accounting, all its files in one folder."""
    if shutil.which("slurmctld") is None or shutil.which("munged") is None:
        pytest.skip("slurm-wlm and munge are not installed")
    folder = Path("/tmp", f"pkv-slurm-{os.getpid()}")  # a socket's path is short
    for name in ("munge", "spool", "state", "log"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    ports = free_ports(2)
    filled = CONFIG.read_text()
    for name, value in {
        "FOLDER": folder, "HOST": socket.gethostname().partition(".")[0], "USER": getpass.getuser(),
        "PORT": ports[0], "PORT2": ports[1], "MEMORY": 4000, "CPUS": min(2, os.cpu_count() or 1),
    }.items():  # fmt: skip
        filled = filled.replace(f"@{name}@", str(value))
    (folder / "slurm.conf").write_text(filled)
    munge = [f"--{name}={folder}/munge/{name}" for name in ("socket", "pid-file", "log-file", "seed-file")]
    lines = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
        ["slurmctld", "-D", "-f", f"{folder}/slurm.conf"],
        ["slurmd", "-D", "-f", f"{folder}/slurm.conf"],
    ]
    patch = pytest.MonkeyPatch()
    patch.setenv("SLURM_CONF", f"{folder}/slurm.conf")
    begun = []
    try:
        for line in lines:
            begun.append(subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            time.sleep(1.0)
        until(lambda: "idle" in said("sinfo", "-h", "-o", "%T"))
        yield
    finally:
        said("scancel", "--signal=KILL", "--full", "--user", getpass.getuser())
        for process in reversed(begun):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        patch.undo()
        shutil.rmtree(folder, ignore_errors=True)


def said(*line: str) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=False).stdout


def until(true: Callable[[], bool], seconds: float = 4 * MINUTES) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.2)


@pytest.mark.usefixtures("slurm")
def test_slurm_runs_each_as_a_job(tmp_path: Path) -> None:
    done = swept(
        tmp_path / "results", "submitit_slurm", "hydra.launcher.cpus_per_task=1", seconds=10 * MINUTES
    )
    check_swept(done, tmp_path / "results")


@pytest.mark.usefixtures("slurm")
def test_a_job_whose_time_is_over_goes_on_from_its_finished_stages(tmp_path: Path) -> None:
    """It gets the signal that Slurm sends before the end, and is submitted again two minutes later."""
    results = tmp_path / "results"
    process = runs.start(
        "experiments.circuit",
        *runs.last(*runs.SMALL, f"results_dir={results}", "model=tiny-llama,tiny-qwen3", "write_sweeps=4"),
        f"hydra.sweep.dir={tmp_path}/sweep",
        "hydra/launcher=submitit_slurm",
        "hydra.launcher.cpus_per_task=1",
        "--multirun",
    )
    until(lambda: len(list(results.glob(".partial/*/*.part.zip"))) >= 2)
    jobs = said("squeue", "-h", "-r", "-t", "R", "-o", "%i").split()
    assert len(jobs) >= 1
    for job in jobs:  # to its step, as Slurm sends it; once, since the second would find the first at work
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    until(lambda: "requeue" in logs(tmp_path / "sweep").lower())
    _, error = process.communicate(timeout=10 * MINUTES)
    assert process.returncode == 0, error
    statuses = [json.loads(path.read_text())["status"] for path in results.glob("circuit/*.json")]
    assert statuses == ["success"] * 2
    assert "engine checks was measured earlier" in logs(tmp_path / "sweep")


def logs(sweep: Path) -> str:
    return "".join(path.read_text() for path in sweep.glob(".submitit/**/*.err")) + "".join(
        path.read_text() for path in sweep.glob(".submitit/**/*.out")
    )


def test_ray_runs_each_as_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    pytest.importorskip("hydra_plugins.hydra_ray_launcher")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    done = swept(tmp_path / "results", "ray", "hydra.launcher.ray.init.num_cpus=2", seconds=10 * MINUTES)
    check_swept(done, tmp_path / "results")
