"""One process at a time works on a run: a lock of the operating system, which ends with its process."""

import json
import os
import socket
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from pkv_interp.errors import PkvError

#: Another process may remove the folder of locks, when it was the last one in it, just before ours is made.
_TRIES = 5


class RunLock:
    """The lock on one key, held until ``release`` or the end of the process, however that comes."""

    def __init__(self, folder: Path, key: str) -> None:
        self._lock = FileLock(folder / f"{key}.lock", timeout=0, thread_local=False)
        self._owner = folder / f"{key}.owner"
        self._held = False

    @classmethod
    def take(cls, folder: Path, key: str) -> Self | None:
        """The lock on a key; None where no file can be made, which the run's first write will report.

        Args:
            folder: of locks, made where it is missing.
            key: of the run.

        Raises:
            PkvError: another run holds it; the line says which one.
        """
        lock = cls(folder, key)
        for _ in range(_TRIES):
            try:
                folder.mkdir(parents=True, exist_ok=True)
                lock._lock.acquire()
            except Timeout:
                raise PkvError(
                    f"another run works on this key: {lock._told()}",
                    "wait until it has ended, or choose another results_dir",
                ) from None
            except FileNotFoundError:
                continue
            except (OSError, NotImplementedError):
                return None
            lock._held = True
            lock._sign()
            return lock
        return None

    def _sign(self) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        signature = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        with suppress(OSError):
            self._owner.write_text(json.dumps(signature), encoding="utf-8")

    def _told(self) -> str:
        try:
            found = json.loads(self._owner.read_text(encoding="utf-8"))
            return f"process {found['pid']} on {found['host']}, since {found['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "a process that has only just begun"

    def release(self) -> None:
        """Let others work on the key, and leave nothing on disk."""
        if not self._held:
            return
        self._held = False
        # While the lock is still held: nobody else can have signed yet.
        with suppress(OSError):
            self._owner.unlink(missing_ok=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()
        with suppress(OSError):
            self._owner.parent.rmdir()

    def __del__(self) -> None:
        self.release()
