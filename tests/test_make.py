"""The Makefile's own decisions: what it installs, and what it leaves alone without failing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT

HINT = "no Chromium: install it (apt-get install chromium)"


@pytest.mark.parametrize(
    ("user", "apt", "there", "installs", "hinted"),
    [
        (0, 0, "", True, False),
        (0, 100, "", False, True),  # no network, or no such package
        (1000, 0, "", False, True),
        (0, 0, "chromium", False, False),
        (1000, 0, "chromium-browser", False, False),
    ],
    ids=["root", "no network", "no root", "there", "there by another name"],
)
def test_a_chromium_is_installed_by_root_alone_and_nothing_fails_without(
    tmp_path: Path, user: int, apt: int, there: str, installs: bool, hinted: bool
) -> None:
    commands = {"id": f"echo {user}", "apt-get": f'echo "$@" >> {tmp_path}/asked; exit {apt}'}
    done = made(tmp_path, commands | ({there: "true"} if there else {}))
    assert (HINT in done.stdout) == hinted
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    assert [line for line in asked if "install" in line and "chromium" in line] == asked[1:]
    assert bool(asked[1:]) == installs
    # Fetched under a limit of time, then installed without one: nothing is left half installed.
    assert [("--download-only" in line, "--no-download" in line) for line in asked[1:]] == [
        (True, False), (False, True)
    ] * installs  # fmt: skip


def test_a_network_that_does_not_answer_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "sleep").symlink_to(shutil.which("sleep") or "sleep")
    done = made(tmp_path, {"id": "echo 0", "apt-get": "sleep 300"}, "APT_SECONDS=1", seconds=60)
    assert HINT in done.stdout


def made(
    folder: Path, commands: dict[str, str], *arguments: str, seconds: float | None = None
) -> subprocess.CompletedProcess[str]:
    """``make chromium`` on a machine that has these commands and no others."""
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    for name, does in commands.items():
        (folder / name).write_text(f"#!/bin/sh\n{does}\n")
        (folder / name).chmod(0o755)
    for name in ("sh", "timeout"):
        (folder / name).symlink_to(shutil.which(name) or name)
    line = [make, "chromium", *arguments]
    done = subprocess.run(
        line, cwd=ROOT, env={"PATH": str(folder)}, capture_output=True, text=True, timeout=seconds
    )
    assert done.returncode == 0, done.stderr
    return done
