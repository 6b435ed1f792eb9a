"""Copies of the test's own process, which have imported what takes seconds to import, and may be killed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable


def in_child(act: Callable[[], object], killed_after: float | None = None) -> int:
    """Run ``act`` in a copy of this process, killed after some seconds; returns the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    if killed_after is not None:
        time.sleep(killed_after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)
