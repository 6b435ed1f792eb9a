"""Scenes of the editing experiment."""

from dataclasses import dataclass, field, replace

from experiments.editing.settings import EditingSettings
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, alternating
from pkv_interp.tasks import Case, field_case


@dataclass(frozen=True)
class Cases:
    """Edits by what they are for.

    Attributes:
        frontier: every method is measured on them, at all lengths and places.
        errata: shortest prompts, on which wordings and placements of errata are measured.
        planted: the same with a line in the conversation that states the old action.
        one_way: shortest prompts, one edit per family, whose direction alternates over families.
        chains: those with a chain of thought; none where none was asked for.
        horizons: those whose field changes every turn.
        traced: shortest prompts, at every place of the field, whose decisions are traced; none in
            measurements that were made before there were traces.
    """

    frontier: list[EditScene]
    errata: list[EditScene]
    planted: list[EditScene]
    one_way: list[EditScene]
    chains: list[EditScene]
    horizons: list[EditScene]
    traced: list[EditScene] = field(default_factory=list)


def build_cases(settings: EditingSettings, source: SceneSource) -> Cases:
    """All scenes; the direction of an edit alternates, at the shortest prompts both may be asked for.

    Raises:
        PkvError: a family's values do not align under this tokenizer.
    """
    styles = [source.style(n, place == "late") for n in settings.fillers for place in settings.at]
    n = settings.instances
    first, *longer = parts = [source.scenes(style, n) for style in styles]
    shortest = [alternating(part, n)[: settings.traced_cases] for part in parts[: len(settings.at)]]
    planted = source.scenes(styles[0], n, planted=True)
    one_way = alternating(first, n)
    errata = first if settings.both_ways else one_way
    reason = source.style(settings.fillers[0], reason=True)
    thinkers = one_way[: settings.cot_cases] if settings.chained else []
    return Cases(
        frontier=[*errata, *(scene for part in longer for scene in alternating(part, n))],
        errata=errata,
        planted=planted if settings.both_ways else alternating(planted, n),
        one_way=one_way,
        chains=[replace(scene, style=reason) for scene in thinkers],
        horizons=one_way[: settings.horizon_cases],
        traced=[scene for part in shortest for scene in part],
    )


def engine_cases(settings: EditingSettings, source: SceneSource) -> list[Case]:
    """Field pairs of the first and the last family, on which the engine is checked."""
    style = source.style(settings.fillers[0])
    ends = (source.families[0], source.families[-1])
    return [
        field_case(family, 0, source.tokenizer, seed=settings.seed, style=style, scenarios=source.scenarios)
        for family in ends
    ]
