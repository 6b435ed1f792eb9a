"""Keys of a researcher's own data: experiments that cannot use them say so in one line."""

from collections.abc import Collection, Iterable

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import CATALOGUE

#: What an experiment without the key would need, or has no use for.
_REASONS = {
    "pairs": "it needs a rule or a field that is edited, and a pair names neither",
    "scenarios": "its prompts are fixed",
}


def refuse_own_data(keys: Iterable[str], known: Collection[str]) -> None:
    """Refuse a key of own data that a command does not have.

    Args:
        keys: that were given.
        known: keys of the command.

    Raises:
        PkvError: one of them is such a key; the line names the experiments that have it.
    """
    for key in keys:
        if key in _REASONS and key not in known:
            raise PkvError(f"'{key}' cannot be used here: {_REASONS[key]}", f"run {_having(key)} on them")


def _having(key: str) -> str:
    """Experiments whose file under configs/ has a key, in words."""
    found = [
        path.stem
        for path in sorted(CATALOGUE.parent.glob("*.yaml"))
        if any(line.startswith(f"{key}:") for line in path.read_text().splitlines())
    ]
    return " or ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
