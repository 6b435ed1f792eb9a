"""Contexts of one text under different attention patterns."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pkv_interp.cache import AttentionLayout
from pkv_interp.editing import EditableContext
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.patterns import RULE, rule_span
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.blocks import BLOCKS
from pkv_interp.prompts.links import link_text
from pkv_interp.prompts.rendering import Head
from pkv_interp.prompts.segments import PLAIN, Message, Segment

#: Name of the links that are put after a rule's statement.
LINKS = "links"
#: Opens the name of an arm whose decision reads the field back first.
READ = "read_"


@dataclass(frozen=True, eq=False)
class Patterns:
    """One scene's context in three ways.

    Attributes:
        plain: every token sees all before it.
        isolated: all fields are isolated, with so many link tokens after a rule as were asked for, where it
            stands after the field.
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
        plain = context_of(loaded, scene, messages)
        names = (scene.task.field, *scene.task.bystanders)
        head = plain.renderer.head(messages)
        rule = rule_span(head.prompt)
        assert rule is not None  # every scene has one
        early = head.prompt.spans[scene.task.field][1] <= rule[0]
        if links and early:
            linked = with_links(messages, links)
            among = plain.renderer.head(linked)
            isolated = context_of(loaded, scene, linked, _layout(among, names, among.prompt.spans[LINKS]))
        else:
            isolated = context_of(loaded, scene, marked(messages, names))
        if not early:
            return cls(plain, isolated, None)
        return cls(plain, isolated, context_of(loaded, scene, messages, _layout(head, names[:1], rule)))


def with_links(
    messages: Sequence[Message], number: int, *, after_policy: bool = False
) -> tuple[Message, ...]:
    """The messages with link tokens right after the rule's statement.

    Args:
        messages: up to the question.
        number: of link tokens.
        after_policy: put them after all of the policy's text instead, where the policy is a chunk.
    """

    def before(one: Segment) -> bool:
        if after_policy:
            return one.kind in BLOCKS["policy"] and bool(one.text.strip())
        return one.name in RULE

    places = [(m, s) for m, mine in enumerate(messages) for s, one in enumerate(mine.segments) if before(one)]
    at, number_of = places[-1]
    made, segments = list(messages), list(messages[at].segments)
    last = segments[number_of]
    text = last.text.rstrip()
    # White space that ends the policy stands after the links, and is no part of the chunk.
    rest = [replace(last, text=last.text[len(text) :], name=None)] if last.text != text else []
    links = Segment(PLAIN, link_text(number), LINKS)
    segments[number_of : number_of + 1] = [replace(last, text=text), links, *rest]
    made[at] = replace(made[at], segments=tuple(segments))
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


def context_of(
    loaded: LoadedModel,
    scene: EditScene,
    messages: Sequence[Message],
    layout: AttentionLayout | None = None,
) -> EditableContext:
    """A scene's context with messages and a layout of its own; nothing of it is run yet.

    Args:
        loaded: the model.
        scene: names question, cue and notation.
        messages: up to the question.
        layout: who sees whom, in tokens of these messages.
    """
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
