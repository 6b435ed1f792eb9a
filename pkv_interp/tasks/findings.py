"""What is wrong with a user's file: every problem with its place, the reason and a suggestion."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Finding:
    """One problem of a file.

    Attributes:
        place: file, line where it is known, and entry.
        reason: what is wrong there.
        suggestion: what the user can do about it.
    """

    place: str
    reason: str
    suggestion: str

    @classmethod
    def of(cls, place: str, error: PkvError) -> "Finding":
        """An error as a problem of the place that led to it."""
        return cls(place, error.cause, str(error).removeprefix(f"{error.cause}; "))

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}; {self.suggestion}"


class FileProblems(PkvError):
    """A file that is not as it should be.

    The one-line message gives the first problem and how many more there are; ``problems`` holds all of them.
    """

    def __init__(self, problems: Sequence[Finding]) -> None:
        first, *others = problems
        more = f" (and {len(others)} more)" if others else ""
        super().__init__(f"{first.place}: {first.reason}", f"{first.suggestion}{more}")
        self.problems: tuple[Finding, ...] = tuple(problems)


def refuse(problems: Sequence[Finding]) -> None:
    """Raise where there are problems.

    Raises:
        FileProblems: there is at least one.
    """
    if problems:
        raise FileProblems(problems)


def read_text(path: str | Path, what: str) -> str:
    """The text of a user's file.

    Args:
        path: of the file.
        what: the kind of file, for the message.

    Raises:
        PkvError: it is not there or is not UTF-8 text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")  # some editors put a mark in front
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PkvError(f"{what} '{path}' cannot be read ({reason})", "check the path") from error
    except UnicodeDecodeError as error:
        raise PkvError(f"{what} '{path}' is not UTF-8 text", "save it as UTF-8") from error
