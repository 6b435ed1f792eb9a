"""The one error that users are meant to read."""

#: Longest cause that is told whole: what a library says can be thousands of characters.
_LONGEST = 400


class PkvError(RuntimeError):
    """Bad input, reported in one line.

    Args:
        cause: what is wrong, with the offending value in it.
        hint: what the user can do about it.

    The command line prints ``str(error)`` and exits with code 2.
    """

    def __init__(self, cause: str, hint: str) -> None:
        self.cause = _shortened(" ".join(cause.split()))
        self.hint = " ".join(hint.split())
        super().__init__(f"{self.cause}; {self.hint}")


def _shortened(text: str) -> str:
    """The text, or its beginning up to a whole word: libraries say first what is wrong."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST].rsplit(' ', 1)[0]} ..."
