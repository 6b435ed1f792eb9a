"""What an adapter decides under the patterns of its course, on edits of families that no training saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.measure.edit_patterns import Patterns
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, alternating
from pkv_interp.models.load import LoadedModel
from pkv_interp.training.courses import Programmable

#: Neutral sentences of the prompts.
FILLERS = 2


@dataclass(frozen=True)
class PatternMargins:
    """One edit; margins in logits towards the new value's action.

    Attributes:
        family, place: of the edit.
        margins: by arm, as `PatternStep` names them.
    """

    family: str
    place: str
    margins: dict[str, float]


@dataclass(frozen=True)
class Patterned:
    """All edits at one stage of the training."""

    edits: list[PatternMargins]


def scenes_of(settings: TrainGateSettings, tokenizer: Any) -> list[EditScene]:
    """One edit of each held-out family and place of the field, their direction in turn.

    Raises:
        PkvError: values of a family do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    families = world.choose(settings.split("held_out", None))
    source = SceneSource(
        tuple(families), world, settings.layout, tokenizer, settings.seed, 0, True, settings.model.thinking
    )
    return [
        scene
        for late in (False, True)
        for scene in alternating(source.scenes(source.style(FILLERS, late=late), 1))
    ]


def under_patterns(
    loaded: LoadedModel, scenes: Sequence[EditScene], settings: TrainGateSettings
) -> Patterned:
    """Decisions on every edit: the plain prefill, the prefill under isolation, and the plain field refreshed.

    Args:
        loaded: with the adapter.
        scenes: the edits.
        settings: say how many links the course has.
    """
    links = settings.course.link_tokens if isinstance(settings.course, Programmable) else 0
    found = []
    for scene in scenes:
        made, task = Patterns.of(loaded, scene, links), scene.task

        def margin(context: Any, method: str, scene: EditScene = scene) -> float:
            state = context.edit(scene.task.field, scene.task.new, method)
            return state.decide(scene.actions).margin

        margins = {
            "full": margin(made.plain, "full_reprefill"),
            "field_only": margin(made.plain, "field_only"),
            "full_isolated": margin(made.isolated, "field_only"),
        }
        if made.ruled is not None:
            margins["full_rule_linked"] = margin(made.ruled, "field_only")
        found.append(PatternMargins(task.family, scene.place, margins))
    return Patterned(found)
