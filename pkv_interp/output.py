"""Output that never fails for what is in it."""

import io
import sys


def print_anything() -> None:
    """Let stdout and stderr escape what their encoding cannot say; every command calls this first."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
