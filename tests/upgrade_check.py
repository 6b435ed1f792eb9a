"""``python -m tests.upgrade_check``: the suite against the newest torch, transformers and nnsight.

An environment of its own is made in ``.venv-upgrade``: first what the constraints name, then the newest of
the three, whatever our own bounds say. The report names versions, old and new, and what fails under the new
ones.
Exit code 0: all passes; 1: something fails; 2: the environment could not be made, or no test was run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("torch", "transformers", "nnsight")
#: Rooms that touch these packages most, and take a minute: they are run first.
FIRST = ("tests/models", "tests/cache", "tests/engine", "tests/editing/test_exact.py")
ENVIRONMENT = Path(".venv-upgrade")
_LONGEST = 160
_VERSIONS = "from importlib.metadata import version; print(*map(version, {names}), sep='\\n')"


@dataclass(frozen=True)
class Failure:
    """A test that did not pass, and the first line of why."""

    test: str
    reason: str


@dataclass(frozen=True)
class Outcome:
    """What one run of pytest came to."""

    ran: int
    skipped: int
    failures: tuple[Failure, ...]


def read_outcome(path: Path) -> Outcome:
    """The outcome that pytest wrote as JUnit XML; nothing was run where there is no such file."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return Outcome(0, 0, ())
    failures: list[Failure] = []
    ran = skipped = 0
    for case in root.iter("testcase"):
        ran += 1
        skipped += case.find("skipped") is not None
        for kind in ("failure", "error"):
            if (found := case.find(kind)) is not None:
                name = f"{case.get('classname', '')}::{case.get('name', '')}".strip(":")
                failures.append(Failure(name, _first_line(found.get("message") or found.text or kind)))
    return Outcome(ran, skipped, tuple(failures))


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:_LONGEST] if lines else "no reason was given"


def report(
    old: Mapping[str, str], new: Mapping[str, str], outcomes: Sequence[Outcome]
) -> tuple[list[str], int]:
    """The lines that are shown, and the exit code.

    Args:
        old: versions that the constraints name.
        new: versions that were tested.
        outcomes: of each run of pytest.
    """
    lines = [f"{name} {old.get(name, '?')} -> {new.get(name, '?')}" for name in PACKAGES]
    if dict(old) == dict(new):
        lines.append("nothing newer than what the constraints name")
    failures = list(dict.fromkeys(failure for outcome in outcomes for failure in outcome.failures))
    by_reason: dict[str, list[str]] = {}
    for failure in failures:
        by_reason.setdefault(failure.reason, []).append(failure.test)
    for reason, tests in sorted(by_reason.items(), key=lambda item: -len(item[1])):
        lines.append(f"{len(tests)} x {reason}")
        lines += [f"    {test}" for test in tests]
    ran = sum(outcome.ran for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    lines.append(f"{ran} tests, {skipped} skipped, {len(failures)} failed")
    if not all(outcome.ran for outcome in outcomes) or not outcomes:
        lines.append("a run of pytest ended before any test: see its output above")
        return lines, 2
    return lines, 1 if failures else 0


def _versions(python: Path) -> dict[str, str]:
    line = [str(python), "-c", _VERSIONS.format(names=list(PACKAGES))]
    found = subprocess.run(line, capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(PACKAGES, found, strict=True))


def _test(python: Path, name: str, *places: str) -> Outcome:
    written = ENVIRONMENT / f"{name}.xml"
    written.unlink(missing_ok=True)
    line = [str(python), "-m", "pytest", "-q", f"--junit-xml={written}", *places]
    subprocess.run(line, env={**os.environ, "PKV_EVERY": "1"}, check=False)
    return read_outcome(written)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the environment, run the suite, print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade_check", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the rooms that touch these packages most")
    chosen = parser.parse_args(arguments)
    python = ENVIRONMENT / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        subprocess.run([*pip, "--constraint", "constraints.txt", "--editable", ".[dev]"], check=True)
        old = _versions(python)
        subprocess.run([*pip, "--upgrade", *PACKAGES], check=True)
        new = _versions(python)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"error: the environment could not be made: {error}\n")
        return 2
    outcomes = [_test(python, "first", *FIRST)]
    if not chosen.quick:
        outcomes.append(_test(python, "rest", "tests", *(f"--ignore={place}" for place in FIRST)))
    lines, code = report(old, new, outcomes)
    sys.stdout.write("\n".join(lines) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
