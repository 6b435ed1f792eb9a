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
    commands |= {there: "true"} if there else {}
    for name, does in commands.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    for name in ("sh", "timeout"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        [make, "chromium"], cwd=ROOT, env={"PATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (HINT in done.stdout) == hinted
    asked = (tmp_path / "asked").read_text() if (tmp_path / "asked").exists() else ""
    assert ("install" in asked and "chromium" in asked) == installs
