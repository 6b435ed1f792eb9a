"""Scenes: field pairs whose blocks (policy, session, tools) can be chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments.composing.settings import CONDITIONS, LOOKUP, ComposingSettings
from pkv_interp.prompts.blocks import BLOCKS, Span, block_span
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks import FAMILIES, Case, Family, Style
from pkv_interp.tasks.cases import CUE, drawn_values, messages, paired
from pkv_interp.tasks.draws import Draw, draw, stable_seed
from pkv_interp.tasks.off_template import off_template_case
from pkv_interp.tasks.wordings import FILLERS, RULES

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
        """The case's."""
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
    if condition == LOOKUP:
        style = Style(chat=settings.chat, thinking=settings.model.thinking)
        case = off_template_case("lookup", family, index, tokenizer, seed=settings.seed, style=style)
        return Scene(condition, case, (block_span(case.clean, "session"),))
    blocks, late, place = CONDITIONS[condition]
    style = Style(
        n_fillers=settings.n_fillers if growth.n_fillers is None else growth.n_fillers,
        field_late=late,
        chat=settings.chat,
        thinking=settings.model.thinking,
    )
    rng = np.random.default_rng([settings.seed, index, stable_seed(family.name)])
    values = drawn_values(family, rng, tokenizer, None)
    chosen = draw(family, rng, style.n_fillers)
    turn = index + [one.name for one in FAMILIES].index(family.name)
    wording = list(RULES)[turn % len(RULES)]
    others = [_skill(one, number, turn + number + 1) for number, one in enumerate(growth.skills)]
    sides = [
        build(
            _laid_out(_messages(family, chosen, (held, values[0]), wording, style), place, growth, others),
            Segment("decision", CUE, "decision"),
            tokenizer,
            chat=style.chat,
            thinking=style.thinking,
        )
        for held in values
    ]
    case = paired(family, index, "field", sides[0], sides[1], chosen, wording, tokenizer)
    if growth.skills:
        return Scene(condition, case, _skill_spans(case.clean, len(growth.skills)))
    spans = [block_span(case.clean, name) for name in blocks]
    return Scene(condition, case, tuple(sorted(spans)))


def skills_around(family: Family, count: int) -> tuple[Family, ...]:
    """The families whose policies stand around a family's own, so that there are ``count`` in all."""
    at = FAMILIES.index(family)
    return tuple(FAMILIES[(at + 1 + i) % len(FAMILIES)] for i in range(count - 1))


def _messages(
    family: Family, chosen: Draw, held_and_trigger: tuple[str, str], wording: str, style: Style
) -> tuple[Message, Message]:
    held, trigger = held_and_trigger
    system, user = messages(family, chosen, value=held, trigger=trigger, wording=wording, style=style)
    return system, user


def _laid_out(
    made: tuple[Message, Message], place: str, growth: Growth, skills: Sequence[Segment]
) -> tuple[Message, ...]:
    """The messages with the policy put in its place, sentences before it and other policies around it."""
    system, user = made
    far = tuple(Segment("system", f" {FILLERS[i % len(FILLERS)]}") for i in range(growth.before))
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


def _skill(family: Family, number: int, turn: int) -> Segment:
    """Another domain's rule as a policy of its own."""
    text = list(RULES.values())[turn % len(RULES)].format(
        field=family.field, trigger=family.values[0], act=family.actions[0], other=family.actions[1]
    )
    return Segment("rule", f"Policy\n{text}\n\n", f"skill_{number}")


def _skill_spans(prompt: Prompt, n: int) -> tuple[Span, ...]:
    """Spans of all policies, in order: the others by their names, the one that matters between them."""
    start, stop = block_span(prompt, "policy")
    named = sorted(prompt.spans[f"skill_{number}"] for number in range(n))
    cuts = sorted({start, stop, *(edge for span in named for edge in span)})
    return tuple(zip(cuts[:-1], cuts[1:], strict=True))
