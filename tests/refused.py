"""Command lines that are refused, in the process that has imported torch already."""

from __future__ import annotations

import pytest

from tests import runs


def refused(told: pytest.CaptureFixture[str], experiment: str, *arguments: str) -> str:
    """The one line on stderr with which a command line ends; its exit code is 2."""
    told.readouterr()
    with pytest.raises(SystemExit) as caught:
        runs.inside(experiment, *arguments)
    assert caught.value.code == 2
    (line,) = told.readouterr().err.splitlines()
    return line
