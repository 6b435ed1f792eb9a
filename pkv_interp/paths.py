"""Paths as users write them; importing this must not import torch."""

from pathlib import Path

from pkv_interp.errors import PkvError, short


def expanded(path: str | Path) -> Path:
    """A path with ``~`` filled in.

    Raises:
        PkvError: it is no path, or names a user who is not known here.
    """
    if not isinstance(path, str | Path):
        raise PkvError(f"{short(path)} is no path", "give a folder or a file as text")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        cause = f"{short(str(path))} names a user who is not known here"
        raise PkvError(cause, "write the path out") from error
