"""What reading works with where no model is run: it stores, times and checks, and knows no experiment."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pkv_interp.errors import PkvError
from pkv_interp.run.settings import CommandSettings

if TYPE_CHECKING:
    from pkv_interp.records.archive import Head
    from pkv_interp.records.run import Run

C = TypeVar("C", bound=CommandSettings)
T = TypeVar("T")


@dataclass
class Sitting(Generic[C]):
    """One sitting of reading.

    Attributes:
        settings: all of them.
        run: where finished parts and controls go.
        seconds: of reading so far, over all sittings.
    """

    settings: C
    run: "Run"
    seconds: float = 0.0

    def once(self, name: str, compute: Callable[[], T], kind: type[T]) -> T:
        """What ``compute`` returns, or what it returned in an earlier sitting of the run.

        Args:
            name: of the part, unique in the run.
            compute: makes it.
            kind: its type, a frozen dataclass.

        Raises:
            PkvError: it has no form on disk, or the disk is full.
        """
        found = self.run.stages.once(name, compute, kind, time.monotonic)
        self.seconds += found.seconds
        return found.value

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        """Note a check with a known answer.

        Args:
            name: of the check, unique in the run.
            value: what was found.
            expected: the known answer.
            tolerance: how far off it may be.
            detail: of what and on how much, for the reader of the record.

        Raises:
            ControlFailure: it missed that answer; the run ends as an error.
        """
        self.run.note(name, value, expected, tolerance, detail)
        try:
            self.run.check_controls()
        except PkvError as error:
            # The usual hint is about a model, and here there is none.
            raise type(error)(error.cause, "the checks do not do what they say: please report it") from error


@dataclass(frozen=True)
class Facts(Generic[C]):
    """What a summary of reading may know beside what was read.

    Attributes:
        settings: all of them.
        head: controls and environment of the reading.
    """

    settings: C
    head: "Head"
