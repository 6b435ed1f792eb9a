"""Scenes of the editing experiment."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from experiments.editing.settings import EditingSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, alternating
from pkv_interp.tasks import Case, Style, field_case


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


def candidates(settings: EditingSettings, source: SceneSource) -> list[EditScene]:
    """Scenes that may be used, at all lengths and places, in one direction: the other has its prompts."""
    tried = settings.tried(settings.instances)
    return [scene for style in _styles(settings, source) for scene in source.scenes(style, tried)[::2]]


def was_ranked(scene: EditScene | Case, before: Mapping[str, Sequence[EditScene | Case]]) -> bool:
    """Whether positions of a scene's family and wording were ranked."""
    ranked = {(case.family, case.wording) for case in before["discovery"] if isinstance(case, Case)}
    return isinstance(scene, EditScene) and (scene.family, scene.task.wording) in ranked


def _styles(settings: EditingSettings, source: SceneSource) -> list[Style]:
    return [source.style(n, place == "late") for n in settings.fillers for place in settings.at]


def build_cases(
    settings: EditingSettings, source: SceneSource, used: Collection[EditScene] | None = None
) -> Cases:
    """All scenes; the direction of an edit alternates, at the shortest prompts both may be asked for.

    Args:
        settings: sizes.
        source: of the scenes.
        used: those of `candidates` that are used; None: all.

    Raises:
        PkvError: a family's values do not align under this tokenizer, or no shortest prompt is used.
    """
    of_these = None if used is None else {(scene.family, scene.index, scene.style) for scene in used}

    def scenes(style: Style, *, planted: bool = False) -> list[EditScene]:
        made = source.scenes(style, settings.tried(settings.instances), planted=planted)
        return [s for s in made if of_these is None or (s.family, s.index, s.style) in of_these]

    styles = _styles(settings, source)
    first, *longer = parts = [scenes(style) for style in styles]
    if not first:
        raise PkvError(
            "no pair of the shortest prompts is right on both sides and was ranked in its wording",
            "try more candidates, another layout, or a model that follows the rule",
        )
    shortest = [alternating(part)[: settings.traced_cases] for part in parts[: len(settings.at)]]
    planted = scenes(styles[0], planted=True)
    one_way = alternating(first)
    errata = first if settings.both_ways else one_way
    reason = source.style(settings.fillers[0], reason=True)
    # Both directions have a stale prompt of their own; every family comes once before any comes again.
    again = [scene for scene in first if scene not in one_way]
    thinkers = [*one_way, *again][: settings.cot_cases] if settings.chained else []
    return Cases(
        frontier=[*errata, *(scene for part in longer for scene in alternating(part))],
        errata=errata,
        planted=planted if settings.both_ways else alternating(planted),
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
