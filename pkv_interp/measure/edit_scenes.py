"""Edit scenes: an edit task in one layout of its prompt, and the instances that rank its positions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from pkv_interp.cache import AttentionLayout
from pkv_interp.editing import EditableContext
from pkv_interp.measure.patterns import pattern_layout
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.readable import Readable
from pkv_interp.names import Pattern
from pkv_interp.prompts.rendering import Head
from pkv_interp.tasks import Case, Family, Message, Scenarios, Style, field_case
from pkv_interp.tasks.edits import EditTask, edit_task, lookup_task


@dataclass(frozen=True)
class EditScene:
    """An edit task in one layout of its prompt.

    Attributes:
        task: the prompt and the change.
        style: of the prompt.
        index: number of the task's instance in its family.
        late: the field stands after the rule; None, in measurements of before, is what the style says.
    """

    task: EditTask
    style: Style
    index: int
    late: bool | None = None

    @property
    def place(self) -> str:
        """``"late"`` where the field stands after the rule, else ``"early"``."""
        late = self.style.field_late if self.late is None else self.late
        return "late" if late else "early"

    @property
    def instance(self) -> str:
        """Unique among the scenes of a run: the task's instance, the length of the prompt, the place."""
        return f"{self.task.instance}/{self.style.n_fillers}-{self.place}"

    @property
    def family(self) -> str:
        """Name of the task's family."""
        return self.task.family

    @property
    def actions(self) -> tuple[str, str]:
        """The action that the new value calls for, then the old one: a positive margin follows the edit."""
        return self.task.new_action, self.task.old_action


class SceneSettings(Protocol):
    """The settings that scenes follow from."""

    @property
    def model(self) -> ModelConfig:
        """The model, whose thinking switch is used."""
        ...

    @property
    def seed(self) -> int:
        """Seed of the draws."""
        ...

    @property
    def families(self) -> tuple[str, ...] | None:
        """Names of families; None stands for all."""
        ...

    @property
    def world(self) -> Scenarios:
        """Where families, rules and layouts come from."""
        ...

    @property
    def layout(self) -> str | None:
        """Name of the layout; None stands for the first one."""
        ...

    @property
    def rank_instances(self) -> int:
        """Instances per family that rank positions."""
        ...

    @property
    def chat(self) -> bool:
        """Use the chat template."""
        ...


@dataclass(frozen=True, eq=False)
class SceneSource:
    """What scenes are drawn from. The first instances of each family rank positions and are never scored.

    Attributes:
        families: in order; rule wordings go round over them.
        scenarios: where rules and layouts come from.
        layout: name of the layout, None for the first one.
        tokenizer: of the model.
        seed: of the draws.
        n_ranking: instances per family that rank positions.
        chat: use the chat template.
        thinking: the template's thinking switch, None where it has none.
    """

    families: tuple[Family, ...]
    scenarios: Scenarios
    layout: str | None
    tokenizer: Any
    seed: int
    n_ranking: int
    chat: bool
    thinking: bool | None

    @classmethod
    def of(cls, settings: SceneSettings, tokenizer: Any) -> Self:
        """The source that these settings ask for.

        Raises:
            PkvError: a family is unknown.
        """
        world = settings.world
        chosen = world.families if settings.families is None else world.choose(settings.families)
        return cls(
            tuple(chosen),
            world,
            settings.layout,
            tokenizer,
            settings.seed,
            settings.rank_instances,
            settings.chat,
            settings.model.thinking,
        )

    def style(self, n_fillers: int, late: bool = False, reason: bool = False) -> Style:
        """A prompt layout. A reason goes into a thinking block where the model has one.

        Args:
            n_fillers: neutral sentences.
            late: put the field after the rule, wherever the layout itself has it.
            reason: ask for a reason before the answer.
        """
        thinking = True if reason and self.thinking is not None else self.thinking
        return Style(
            n_fillers, late != self._moved, self.chat, thinking, reason_first=reason, layout=self.layout
        )

    def scenes(self, style: Style, instances: int, *, planted: bool = False) -> list[EditScene]:
        """Edits of each family in both directions, one after the other.

        Args:
            style: of their prompts.
            instances: scenes per family and direction.
            planted: put a line that states the old action into the conversation.

        Raises:
            PkvError: a family's values do not align under this tokenizer.
        """
        return [
            EditScene(
                edit_task(
                    family,
                    self.n_ranking + index,
                    self.tokenizer,
                    seed=self.seed,
                    matches=matches,
                    style=style,
                    wordings=self._wording(at, index),
                    planted=planted,
                    scenarios=self.scenarios,
                ),
                style,
                self.n_ranking + index,
                style.field_late != self._moved,
            )
            for at, family in enumerate(self.families)
            for index in range(instances)
            for matches in (True, False)
        ]

    def ranking_cases(self, style: Style, *, in_turn: bool = False) -> list[Case]:
        """Field pairs that rank positions and are not scored, family by family.

        Args:
            style: of their prompts.
            in_turn: take rule wordings in turn, as scenes do; else each family has that of its first scene.
        """
        return [
            field_case(
                family,
                index,
                self.tokenizer,
                seed=self.seed,
                style=style,
                wordings=self._wording(at, index if in_turn else 0),
                scenarios=self.scenarios,
            )
            for at, family in enumerate(self.families)
            for index in range(self.n_ranking)
        ]

    def matching_case(self, scene: EditScene) -> Case:
        """The field pair of a scene, whose anchors name its positions."""
        return field_case(
            self.scenarios.choose([scene.family])[0],
            scene.index,
            self.tokenizer,
            seed=self.seed,
            style=scene.style,
            wordings=(scene.task.wording,),
            scenarios=self.scenarios,
        )

    def looked_up(self, scene: EditScene) -> EditScene | None:
        """The edit of the same family whose value is only read back; None in code that has no such form."""
        layout = self.scenarios.layout(scene.style)
        if layout.is_code and layout.read_back is None:
            return None
        task = lookup_task(
            self.scenarios.choose([scene.family])[0],
            scene.index,
            self.tokenizer,
            seed=self.seed,
            matches=scene.task.matches,
            scenarios=self.scenarios,
        )
        return replace(scene, task=task)

    @property
    def _moved(self) -> bool:
        """Whether the layout has the field after the rule by itself."""
        return self.scenarios.layout(Style(layout=self.layout)).field_late

    def _wording(self, family_at: int, index: int) -> tuple[str]:
        """One rule wording; they go round over families."""
        names = list(self.scenarios.rules)
        return (names[(family_at + index) % len(names)],)


def alternating(scenes: Sequence[EditScene], first: int = 0) -> list[EditScene]:
    """The first scene of each family out of those of one style; directions take turns within each wording.

    Rule wordings go round over families as well. Directions that simply took turns over families would go
    with them, and the new action would mostly be the one that a rule names last, which a model may prefer.

    Args:
        scenes: of one style, both directions of each, in the order of `SceneSource.scenes`.
        first: the direction that begins, 0 for towards the rule's value.
    """
    families: dict[str, list[EditScene]] = {}
    for scene in scenes:
        families.setdefault(scene.family, []).append(scene)
    # The next direction of each wording. Wordings begin with one and the other: two families have both.
    following: dict[str, int] = {}
    chosen = []
    for mine in families.values():
        at = following.setdefault(mine[0].task.wording, first + len(following))
        following[mine[0].task.wording] = at + 1
        chosen.append(mine[at % 2])
    return chosen


def open_context(
    loaded: Readable,
    scene: EditScene,
    messages: Sequence[Message] | None = None,
    pattern: Pattern | None = None,
) -> EditableContext:
    """The scene's prompt as an editable context that ends before the question.

    Of a model whose catalogue entry names an attention pattern it is one under that pattern.

    Args:
        loaded: the model.
        scene: whose prompt it is.
        messages: instead of the scene's own.
        pattern: instead of the model's own.
    """
    pattern, names = pattern or loaded.config.pattern, (scene.task.field, *scene.task.bystanders)

    def layout(head: Head) -> AttentionLayout | None:
        assert pattern is not None
        return pattern_layout(head.prompt, names, pattern, len(head.prompt.ids))

    context = EditableContext(
        loaded.model,
        loaded.tokenizer,
        scene.task.messages if messages is None else messages,
        scene.task.question,
        scene.style.cue if scene.task.cue is None else scene.task.cue,
        scene.style.chat and scene.task.chat,
        scene.style.thinking,
        None if pattern is None else layout,
    )
    return context.in_notation(scene.task.notation)
