"""The one error that users are meant to read, and what its line is made of."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, ClassVar

#: Characters of a list of names in an error, at most.
_MOST = 120

#: What models raise at a forward that they are not made for.
RAISED_BY_MODELS = (
    RuntimeError, ValueError, TypeError, AttributeError, IndexError, KeyError, NotImplementedError,
)  # fmt: skip
#: Longest cause that is told whole: what a library says can be thousands of characters.
_LONGEST = 400


class PkvError(RuntimeError):
    """Bad input, reported in one line.

    Args:
        cause: what is wrong, with the offending value in it.
        hint: what the user can do about it.

    The command line prints ``str(error)`` and exits with ``code``.
    """

    #: Exit code of a command line that ends in it.
    code: ClassVar[int] = 2

    def __init__(self, cause: str, hint: str) -> None:
        self.cause = _shortened(" ".join(cause.split()))
        self.hint = " ".join(hint.split())
        super().__init__(f"{self.cause}; {self.hint}")

    def __reduce__(self) -> tuple[Any, ...]:
        # By default it would be made again from its one line, and it and its subclasses take other arguments.
        return _as_it_was, (type(self), str(self), vars(self))


def _as_it_was(kind: type[PkvError], line: str, about: dict[str, Any]) -> PkvError:
    """An error that comes from another process."""
    error = kind.__new__(kind)
    error.args = (line,)
    vars(error).update(about)
    return error


def _shortened(text: str) -> str:
    """The text, or its beginning up to a whole word: libraries say first what is wrong."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} ..."


def suggestion(name: str, known: Iterable[str], offer: str = "choose from") -> str:
    """What to write instead of a name that is not known.

    Args:
        name: as it was written.
        known: the names that there are.
        offer: stands before these where none is close.
    """
    names = list(dict.fromkeys(known))
    close = get_close_matches(name, names, n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    shown = names[:1]
    while len(shown) < len(names) and len(", ".join([*shown, names[len(shown)]])) <= _MOST:
        shown.append(names[len(shown)])
    more = f" and {len(names) - len(shown)} more" if len(shown) < len(names) else ""
    return f"{offer} {', '.join(shown)}{more}"


def short(value: object, most: int = 60) -> str:
    """A value as it is shown in an error: one line, printable, cut where it is long."""
    text = repr(value) if isinstance(value, str) else " ".join(str(value).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= most else f"{text[: most - 3]}..."
