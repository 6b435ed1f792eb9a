"""Versions, platform and commit, as they go into a record."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import torch

import pkv_interp
from pkv_interp.records.schema import Environment

PACKAGES = ("torch", "transformers", "nnsight", "transformer-lens", "numpy", "pkv_interp")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def git_state(folder: Path | None = None) -> tuple[str, bool | None]:
    """Commit of the repository that tracks ``folder`` (the package's own by default) and whether it is dirty.

    Files under ``results`` do not count: a run makes some. ("unknown", None) without git, or where the
    package is installed outside its repository.
    """
    place = Path(pkv_interp.__file__).parent if folder is None else folder
    # An installed package may lie inside somebody else's repository, which does not track it.
    tracked = _git(place, "ls-files", "--error-unmatch", "__init__.py") is not None
    commit = _git(place, "rev-parse", "HEAD") if tracked else None
    if commit is None:
        return "unknown", None
    changes = _git(place, "status", "--porcelain", "--", ":(top)", ":(top,exclude)results")
    return commit, None if changes is None else bool(changes)


def environment(
    *, device: str | None = None, dtype: str | None = None, attention: str | None = None
) -> Environment:
    """The present process as an ``Environment``; the arguments are those of the loaded model."""
    commit, dirty = git_state()
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages={package.replace("-", "_"): _version(package) for package in PACKAGES},
        device=device,
        dtype=dtype,
        attention=attention,
        threads=torch.get_num_threads(),
        commit=commit,
        dirty=dirty,
    )
