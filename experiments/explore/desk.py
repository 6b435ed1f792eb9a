"""One thread that runs the model, and what it has computed; views ask, and are told how far it is."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pkv_interp.errors import PkvError

T = TypeVar("T")
Report = Callable[[int, int], None]
Work = Callable[[Report], T]

#: Results that are kept, the one last asked for longest.
_KEPT = 64
#: Seconds after which work that no page asks after gives way to work that one does.
_PATIENCE = 2.0


class GivenUp(Exception):
    """Nobody has asked after this piece of work for a while."""


@dataclass(frozen=True)
class Ready(Generic[T]):
    """A result.

    Attributes:
        value: what was computed.
        seconds: that it took.
    """

    value: T
    seconds: float


@dataclass(frozen=True)
class Running:
    """Work that goes on; ``total`` is 0 until it has begun."""

    done: int
    total: int

    @property
    def share(self) -> float:
        """Of the work, from 0 to 1."""
        return self.done / self.total if self.total else 0.0


@dataclass(frozen=True)
class Failed:
    """What was wrong with the input, in one line."""

    line: str


Answer = Ready[T] | Running | Failed


@dataclass(eq=False)
class _Piece:
    """A piece of work on the desk; ``asked`` is until when somebody has asked after it or waits for it."""

    work: Work[Any]
    asked: float
    done: int = 0
    total: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    answer: Ready[Any] | Failed | None = None


class Desk:
    """Work in the order in which it is asked for, in one thread: the model serves one forward at a time."""

    def __init__(self, patience: float = _PATIENCE) -> None:
        self._pieces: OrderedDict[Hashable, _Piece] = OrderedDict()
        self._queue: list[Hashable] = []
        self._change = threading.Condition()
        self._patience = patience
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def ask(self, key: Hashable, work: Work[T], wait: float = 0.0) -> Answer[T]:
        """What a piece of work gives, or how far it is.

        Args:
            key: of the piece: what is asked twice is computed once.
            work: computes it; it calls what it is given with done and total now and then.
            wait: seconds to wait for it at most.
        """
        with self._change:
            piece = self._pieces.get(key)
            if piece is None:
                piece = self._pieces[key] = _Piece(work, time.monotonic())
                self._queue.append(key)
                self._change.notify_all()
            piece.asked = max(piece.asked, time.monotonic() + wait)
            self._pieces.move_to_end(key)
        piece.ended.wait(wait)
        return piece.answer or Running(piece.done, piece.total)

    def kept(self, key: Hashable) -> Any:
        """A result that is there already; None otherwise. Nothing is computed for it."""
        with self._change:
            piece = self._pieces.get(key)
        return piece.answer.value if piece is not None and isinstance(piece.answer, Ready) else None

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._queue:
                    self._change.wait()
                key = self._queue.pop(0)
                piece = self._pieces[key]
            self._do(key, piece)

    def _do(self, key: Hashable, piece: _Piece) -> None:
        def report(done: int, total: int) -> None:
            piece.done, piece.total = done, total
            # A page in the background asks rarely, so that work goes on where nothing else waits.
            if self._queue and time.monotonic() - piece.asked > self._patience:
                raise GivenUp

        begin = time.monotonic()
        try:
            report(0, 0)
            piece.answer = Ready(piece.work(report), time.monotonic() - begin)
        except GivenUp:
            with self._change:
                del self._pieces[key]  # asked for again it begins anew
        except PkvError as error:
            piece.answer = Failed(str(error))
        except Exception as error:  # a page must say so, and the thread must live on for other work
            piece.answer = Failed(f"this could not be computed: {type(error).__name__}: {error}"[:400])
        finally:
            piece.ended.set()
            self._forget()

    def _forget(self) -> None:
        """Drop the oldest results beyond those that are kept; what is waited for stays."""
        with self._change:
            ended = [key for key, piece in self._pieces.items() if piece.answer is not None]
            for key in ended[: max(0, len(ended) - _KEPT)]:
                del self._pieces[key]
