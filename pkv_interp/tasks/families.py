"""The packaged families as constants. None of their fields, values or actions is, as a whole, in training."""

from collections.abc import Sequence

from pkv_interp.tasks.scenarios import Family, default_scenarios

__all__ = ["BY_NAME", "DISCOVERY", "FAMILIES", "HELD_OUT", "Family", "families", "split_of"]

FAMILIES: tuple[Family, ...] = default_scenarios().families
DISCOVERY: tuple[str, ...] = tuple(f.name for f in default_scenarios().split("discovery"))
HELD_OUT: tuple[str, ...] = tuple(f.name for f in default_scenarios().split("held_out"))
BY_NAME: dict[str, Family] = default_scenarios().by_name


def split_of(name: str) -> str:
    """Return ``"discovery"`` or ``"held_out"`` for a family name."""
    return "discovery" if name in DISCOVERY else "held_out"


def families(names: Sequence[str]) -> list[Family]:
    """Packaged families by name; see `Scenarios.choose`.

    Raises:
        PkvError: a name is unknown.
    """
    return default_scenarios().choose(names)
