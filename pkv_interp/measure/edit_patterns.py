"""Contexts of one text under different attention patterns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pkv_interp.cache import AttentionLayout
from pkv_interp.editing import EditableContext
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.links import link_text
from pkv_interp.prompts.rendering import Head
from pkv_interp.prompts.segments import Message, Segment

#: Names of the pieces of a rule's statement, and of the links that are put after it.
_RULE = ("rule", "trigger", "action_act", "action_other")
LINKS = "links"


@dataclass(frozen=True, eq=False)
class Patterns:
    """One scene's context in three ways.

    Attributes:
        plain: every token sees all before it.
        isolated: all fields are isolated, with so many link tokens after the rule as was asked for.
        ruled: the deciding field is isolated and the rule itself is its link: seen by the last block alone,
            and run again with the field. None where the rule stands before the field and reads nothing.
    """

    plain: EditableContext
    isolated: EditableContext
    ruled: EditableContext | None

    @classmethod
    def of(cls, loaded: LoadedModel, scene: EditScene, links: int = 0) -> "Patterns":
        """The contexts of a scene; nothing is run yet.

        Args:
            loaded: the model.
            scene: whose text it is.
            links: link tokens after the rule, of ``isolated`` alone.
        """
        messages = scene.task.messages
        plain = _context(loaded, scene, messages)
        names = (scene.task.field, *scene.task.bystanders)
        if links:
            linked = with_links(messages, links)
            head = plain.renderer.head(linked)
            isolated = _context(loaded, scene, linked, _layout(head, names, head.prompt.spans[LINKS]))
        else:
            isolated = _context(loaded, scene, marked(messages, names))
        head = plain.renderer.head(messages)
        rule = rule_span(head)
        early = head.prompt.spans[scene.task.field][1] <= rule[0]
        ruled = _context(loaded, scene, messages, _layout(head, (scene.task.field,), rule)) if early else None
        return cls(plain, isolated, ruled)


def rule_span(head: Head) -> tuple[int, int]:
    """Tokens of the rule's statement, half open."""
    spans = [head.prompt.spans[name] for name in _RULE if name in head.prompt.spans]
    return min(start for start, _ in spans), max(stop for _, stop in spans)


def with_links(messages: Sequence[Message], number: int) -> tuple[Message, ...]:
    """The messages with link tokens right after the rule's statement."""
    last = [(m, s) for m, message in enumerate(messages) for s, one in enumerate(message.segments)
            if one.name in _RULE][-1]  # fmt: skip
    made = list(messages)
    segments = list(made[last[0]].segments)
    segments.insert(last[1] + 1, Segment("rule", link_text(number), LINKS))
    made[last[0]] = replace(made[last[0]], segments=tuple(segments))
    return tuple(made)


def marked(messages: Sequence[Message], names: Sequence[str]) -> tuple[Message, ...]:
    """The messages with fields of these names isolated."""
    return tuple(
        replace(
            message,
            segments=tuple(
                replace(one, isolated=True) if one.name in names else one for one in message.segments
            ),
        )
        for message in messages
    )


def _layout(head: Head, names: Sequence[str], links: tuple[int, int]) -> AttentionLayout:
    spans = head.prompt.spans
    return AttentionLayout(
        len(head.prompt.ids), isolated=tuple(sorted(spans[name] for name in names)), links=(links,)
    )


def _context(
    loaded: LoadedModel,
    scene: EditScene,
    messages: Sequence[Message],
    layout: AttentionLayout | None = None,
) -> EditableContext:
    task = scene.task
    context = EditableContext(
        loaded.model,
        loaded.tokenizer,
        messages,
        task.question,
        scene.style.cue if task.cue is None else task.cue,
        scene.style.chat and task.chat,
        scene.style.thinking,
        layout,
    )
    return context.in_notation(task.notation)
