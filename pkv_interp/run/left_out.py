"""Remarks on what a researcher's own file has and a run does not use."""

from collections.abc import Collection

from pkv_interp.run.scenario_settings import PairSettings, ScenarioSettings
from pkv_interp.tasks.pair_file import parse_pairs

_BOTH = ("discovery", "held_out")


def pairs_left_out(settings: PairSettings) -> tuple[str, ...]:
    """A remark on own pairs of a split that neither ranks nor scores."""
    if settings.pairs is None or not settings.pairs.is_here:
        return ()
    lines, _ = parse_pairs(settings.pairs.path)
    return _remark(settings.pairs.name, "pairs", [x.name for x in lines if x.entry.split not in _BOTH], _BOTH)


def families_left_out(settings: ScenarioSettings, splits: Collection[str] = _BOTH) -> tuple[str, ...]:
    """A remark on own families of a split that is not used.

    Args:
        settings: of the run.
        splits: all of whose families are used.
    """
    if settings.scenarios is None or not settings.scenarios.is_here:
        return ()
    stray = [family.name for family in settings.world.families if family.split not in splits]
    return _remark(settings.scenarios.name, "families", stray, splits)


def _remark(file: str, what: str, names: list[str], used: Collection[str]) -> tuple[str, ...]:
    if not names:
        return ()
    shown = ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
    return (f"{file}: {len(names)} {what} are left out, whose split is not {' or '.join(used)}: {shown}",)
