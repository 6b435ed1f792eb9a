"""Models that come with the package, small enough to lie in the repository."""

from pathlib import Path

from pkv_interp.errors import PkvError

_DATA = Path(__file__).resolve().parents[1] / "data"


def shipped_folder(name: str) -> Path:
    """The folder of a model that comes with the package.

    Raises:
        PkvError: there is none of that name.
    """
    folder = _DATA / name
    if not (folder / "config.json").is_file():
        raise PkvError(f"no model '{name}' comes with the package", "see configs/model")
    return folder
