"""The one error that users are meant to read."""


class PkvError(RuntimeError):
    """Bad input, reported in one line.

    Args:
        cause: what is wrong, with the offending value in it.
        hint: what the user can do about it.

    The command line prints ``str(error)`` and exits with code 2.
    """

    def __init__(self, cause: str, hint: str) -> None:
        self.cause = " ".join(cause.split())
        self.hint = " ".join(hint.split())
        super().__init__(f"{self.cause}; {self.hint}")
