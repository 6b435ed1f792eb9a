"""Scenes: field pairs whose blocks (policy, session, tools) can be chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.composing.settings import CONDITIONS, LOOKUP, ComposingSettings
from pkv_interp.prompts.blocks import BLOCKS, Span, block_span
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks import Case, Family, Instance, Scenarios, Style
from pkv_interp.tasks.cases import CUE, paired
from pkv_interp.tasks.draws import draw
from pkv_interp.tasks.off_template import off_template_case
from pkv_interp.tasks.recipes import Recipe, drawn_values

_EARLIER = (
    Message("user", (Segment("conversation", "Good morning. Is the desk open today?"),)),
    Message("assistant", (Segment("conversation", "Yes, it is open until six."),)),
)


@dataclass(frozen=True)
class Growth:
    """What a scene on a curve has beyond those of its condition.

    Attributes:
        n_fillers: neutral sentences in the policy, in place of the settings' number.
        before: neutral sentences in the system message: the further the chunks are moved.
        skills: families whose rules stand as policies of their own around the one that matters.
    """

    n_fillers: int | None = None
    before: int = 0
    skills: tuple[Family, ...] = ()


@dataclass(frozen=True)
class Scene:
    """A field pair, and the spans that are moved, one after the other; both sides have the same spans.

    Attributes:
        condition: what is moved where.
        case: clean (the field has the rule's trigger) and corrupt.
        spans: of the chunks.
    """

    condition: str
    case: Case
    spans: tuple[Span, ...]

    @property
    def instance(self) -> str:
        """The case's instance name."""
        return self.case.instance

    @property
    def sides(self) -> tuple[tuple[str, Prompt], tuple[str, Prompt]]:
        """The two prompts; the first calls for the first action, the second for the other."""
        return ("match", self.case.clean), ("mismatch", self.case.corrupt)


def build_scene(
    condition: str,
    family: Family,
    index: int,
    tokenizer: Any,
    settings: ComposingSettings,
    growth: Growth = Growth(),
) -> Scene:
    """One scene of a condition.

    Args:
        condition: what is moved where.
        family: of the scenario.
        index: of the instance within its family.
        tokenizer: of the model.
        settings: number of fillers, chat, seed.
        growth: of a scene on a curve.

    Raises:
        PkvError: prompts do not align under this tokenizer, or a block is not in one piece.
    """
    world = settings.world
    if condition == LOOKUP:
        style = Style(chat=settings.chat, thinking=settings.model.thinking, layout=settings.layout)
        case = off_template_case(
            "lookup", family, index, tokenizer, seed=settings.seed, style=style, scenarios=world
        )
        return Scene(condition, case, (block_span(case.clean, "session"),))
    blocks, late, place = CONDITIONS[condition]
    style = Style(
        n_fillers=settings.n_fillers if growth.n_fillers is None else growth.n_fillers,
        field_late=late,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
    rng = Recipe(seed=settings.seed, scenarios=world).rng(family, index)
    values = drawn_values(family, rng, tokenizer, None)
    chosen = draw(family, rng, style.n_fillers, world)
    turn = index + world.position(family)
    wordings = list(world.rules)
    wording = wordings[turn % len(wordings)]
    instance = Instance(family, index, chosen, wording, style, world)
    others = [_skill(one, number, turn + number + 1, world) for number, one in enumerate(growth.skills)]
    far = tuple(Segment("system", f" {world.fillers[i % len(world.fillers)]}") for i in range(growth.before))
    sides = [
        build(
            _laid_out(_messages(instance, held, values[0]), place, far, others),
            Segment("decision", CUE, "decision"),
            tokenizer,
            chat=style.chat,
            thinking=style.thinking,
        )
        for held in values
    ]
    case = paired(instance, "field", (sides[0], sides[1]), tokenizer)
    if growth.skills:
        return Scene(condition, case, _skill_spans(case.clean, len(growth.skills)))
    spans = [block_span(case.clean, name) for name in blocks]
    return Scene(condition, case, tuple(sorted(spans)))


def skills_around(family: Family, count: int, world: Scenarios) -> tuple[Family, ...]:
    """The families whose policies stand around a family's own, so that there are ``count`` in all."""
    at = world.position(family)
    return tuple(world.families[(at + 1 + i) % len(world.families)] for i in range(count - 1))


def _messages(instance: Instance, held: str, trigger: str) -> tuple[Message, Message]:
    system, user = instance.messages(value=held, trigger=trigger)
    return system, user


def _laid_out(
    made: tuple[Message, Message], place: str, far: tuple[Segment, ...], skills: Sequence[Segment]
) -> tuple[Message, ...]:
    """The messages with the policy put in its place, sentences before it and other policies around it."""
    system, user = made
    policy = tuple(s for s in user.segments if s.kind in BLOCKS["policy"])
    if place == "system":
        rest = tuple(s for s in user.segments if s.kind not in BLOCKS["policy"])
        text = (*system.segments, *far, Segment("system", "\n\n"), *_trimmed(policy))
        return Message("system", text), Message("user", rest)
    if skills:
        half = len(skills) // 2
        rest = tuple(s for s in user.segments if s.kind not in BLOCKS["policy"])
        user = Message("user", (*skills[:half], *policy, *skills[half:], *rest))
    system = Message("system", (*system.segments, *far))
    return (system, *_EARLIER, user) if place == "later_turn" else (system, user)


def _trimmed(policy: Sequence[Segment]) -> tuple[Segment, ...]:
    """Without the blank line at the end, which a chat template would strip."""
    *body, last = policy
    text = last.text.rstrip("\n")
    body[-1] = replace(body[-1], text=body[-1].text.rstrip("\n")) if not text else body[-1]
    return (*body, replace(last, text=text)) if text else tuple(body)


def _skill(family: Family, number: int, turn: int, world: Scenarios) -> Segment:
    """Another domain's rule as a policy of its own."""
    text = list(world.rules.values())[turn % len(world.rules)].format(
        field=family.field, trigger=family.values[0], act=family.actions[0], other=family.actions[1]
    )
    return Segment("rule", f"Policy\n{text}\n\n", f"skill_{number}")


def _skill_spans(prompt: Prompt, n: int) -> tuple[Span, ...]:
    """Spans of all policies, in order: the others by their names, the one that matters between them."""
    start, stop = block_span(prompt, "policy")
    named = sorted(prompt.spans[f"skill_{number}"] for number in range(n))
    cuts = sorted({start, stop, *(edge for span in named for edge in span)})
    return tuple(zip(cuts[:-1], cuts[1:], strict=True))
