"""Whether a file stands in git's history as it is now."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from pkv_interp.errors import PkvError

_SECONDS = 20
_HINT = "commit it, and run then"


@dataclass(frozen=True)
class Committed:
    """Where a file is known from.

    Attributes:
        commit: the last one that changed it; None outside of a checkout, or without git.
    """

    commit: str | None

    @property
    def remark(self) -> str:
        """For the record."""
        if self.commit is None:
            return "the preregistration lies in no git checkout: nothing says when it was written"
        return f"the preregistration was last changed in commit {self.commit}"


def committed(path: Path) -> Committed:
    """The commit that the file at a path is from.

    Raises:
        PkvError: it lies in a checkout and is in no commit, or differs from the last one.
    """
    path = path.resolve()
    if _git(path, "rev-parse", "--is-inside-work-tree") != "true":
        return Committed(None)
    commit = _git(path, "log", "-1", "--format=%H", "--", path.name)
    if not commit:
        raise PkvError(f"{path.name} is in no commit", _HINT)
    # Of a file that git was told to ignore, or not to look at, no status would be shown.
    now, then = _git(path, "hash-object", "--", path.name), _git(path, "rev-parse", f"HEAD:./{path.name}")
    if _git(path, "status", "--porcelain", "--", path.name) or now != then:
        raise PkvError(f"{path.name} has changes that are not committed", _HINT)
    return Committed(commit)


def _git(path: Path, *arguments: str) -> str | None:
    """What git says in the file's folder; None where it fails or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=path.parent,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
