"""What an adapter decides under the patterns of its course, on edits of families that no training saw."""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.editing import EditableContext
from pkv_interp.measure.edit_patterns import READ, Patterns
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
        read: whether the new value was read, by arm that reads the field back; none of a course that does
            not, and in measurements of before.
    """

    family: str
    place: str
    margins: dict[str, float]
    read: dict[str, bool] = dataclass_field(default_factory=dict)


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

    A course whose answers read fields back has these three a second time, with the field read back. With the
    rule as its link a decision is made at once alone.

    Args:
        loaded: with the adapter.
        scenes: the edits.
        settings: say how many links the course has, and whether it reads back.
    """
    course = settings.course if isinstance(settings.course, Programmable) else None
    links = 0 if course is None else course.link_tokens
    reads = course is not None and course.read_back > 0
    found = []
    for scene in scenes:
        made, task = Patterns.of(loaded, scene, links), scene.task
        margins: dict[str, float] = {}
        read: dict[str, bool] = {}
        arms: dict[str, tuple[EditableContext, str]] = {
            "full": (made.plain, "full_reprefill"),
            "field_only": (made.plain, "field_only"),
            "full_isolated": (made.isolated, "field_only"),
        }
        for arm, (context, method) in arms.items():
            state = context.edit(task.field, task.new, method)
            margins[arm] = state.decide(scene.actions).margin
            if reads:
                decided = state.reading_back(task.field).decide(scene.actions)
                margins[f"{READ}{arm}"] = decided.margin
                read[f"{READ}{arm}"] = (decided.value or "").lower() == task.new.lower()
        if made.ruled is not None:
            ruled = made.ruled.edit(task.field, task.new, "field_only")
            margins["full_rule_linked"] = ruled.decide(scene.actions).margin
        found.append(PatternMargins(task.family, scene.place, margins, read))
    return Patterned(found)
