"""Keys about data that do not go together."""

from collections.abc import Collection, Mapping
from typing import Any

from pkv_interp.errors import PkvError


def refuse_with_pairs(values: Mapping[str, Any], names: Collection[str]) -> None:
    """Refuse keys about scenarios beside pairs.

    Args:
        values: keys and values as they were given.
        names: of keys that are about scenarios, and are empty unless they are given.

    Raises:
        PkvError: there is one.
    """
    if values.get("pairs") is None:
        return
    for name in sorted(names):
        if values.get(name) not in (None, {}, (), []):
            raise PkvError(
                f"'{name}' is about scenarios, and pairs stand in for them", f"leave out {name}, or pairs"
            )


def refuse_unused_values(values: Mapping[str, Any], used: Collection[str]) -> None:
    """Refuse values of a family's field where the family is not used.

    Args:
        values: by family.
        used: names of the families that the run uses.

    Raises:
        PkvError: there is such a family.
    """
    for name in values:
        if name not in used:
            raise PkvError(
                f"values.{name} is given, and the family '{name}' is not used", "name it among the families"
            )
