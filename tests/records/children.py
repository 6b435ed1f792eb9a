"""Copies of the test's own process, which have imported what takes seconds to import, and may be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def in_child(act: Callable[[], object], killed_after: float | None = None) -> int:
    """Run ``act`` in a copy of this process, killed after some seconds; returns the signal that ended it."""
    child = _copy(act)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    return _ended_by(os.waitpid(child, 0)[1])


def killed_when(act: Callable[[], object], happened: Callable[[], bool], within: float = 240.0) -> int:
    """As `in_child`, killed as soon as something has happened, or where it has not within some seconds."""
    child, until = _copy(act), time.monotonic() + within
    while not happened() and time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return _ended_by(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    return _ended_by(os.waitpid(child, 0)[1])


def _copy(act: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return child


def _ended_by(status: int) -> int:
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
