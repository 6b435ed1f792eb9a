"""Scenes of the composing experiment: field pairs whose blocks (policy, session, tools) can be chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks import FAMILIES, Case, Family, Instance, Style
from pkv_interp.tasks.cases import CUE, paired
from pkv_interp.tasks.draws import draw, stable_seed
from pkv_interp.tasks.off_template import off_template_case
from pkv_interp.tasks.recipes import drawn_values
from pkv_interp.tasks.wordings import FILLERS, RULES

if TYPE_CHECKING:
    from experiments.composing import ComposingSettings

Span = tuple[int, int]
#: Kinds of the segments that a block is made of.
BLOCKS = {
    "policy": ("rule", "trigger", "action", "filler"),
    "session": ("session", "field"),
    "tools": ("tools",),
}
#: What is moved where: name to (blocks moved, field after the rule, place of the policy).
CONDITIONS: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "rule": (("policy",), True, "user"),
    "rule_after_field": (("policy",), False, "user"),
    "facts": (("session",), False, "user"),
    "facts_after_rule": (("session",), True, "user"),
    "tools": (("tools",), True, "user"),
    "all": (("policy", "session", "tools"), True, "user"),
    "system_area": (("policy",), True, "system"),
    "mid_trajectory": (("policy",), True, "later_turn"),
}
#: The condition that headline figures speak of: a policy as a skill, with the state behind it.
MAIN = "rule"
#: The condition in which a chunk's notes depend on a field that stands before it.
BLIND = "rule_after_field"
LOOKUP = "lookup"
_EARLIER = (
    Message("user", (Segment("conversation", "Good morning. Is the desk open today?"),)),
    Message("assistant", (Segment("conversation", "Yes, it is open until six."),)),
)


@dataclass(frozen=True)
class Scene:
    """A field pair, and the spans that are moved, one after the other; both sides have the same spans.

    Attributes:
        condition: what is moved where, with the size of a curve behind "@".
        case: clean (the field has the rule's trigger) and corrupt.
        spans: of the chunks.
    """

    condition: str
    case: Case
    spans: tuple[Span, ...]

    @property
    def sides(self) -> tuple[tuple[str, Prompt], tuple[str, Prompt]]:
        """The two prompts; the first calls for the first action, the second for the other."""
        return ("match", self.case.clean), ("mismatch", self.case.corrupt)


def scene(
    condition: str,
    family: Family,
    index: int,
    tokenizer: Any,
    settings: "ComposingSettings",
    *,
    n_fillers: int | None = None,
    before: int = 0,
    skills: Sequence[Family] = (),
) -> Scene:
    """One scene of a condition.

    Args:
        n_fillers: neutral sentences in the policy, in place of the settings' number.
        before: neutral sentences in the system message: the further the chunks are moved.
        skills: families whose rules stand as policies of their own around the one that matters.
    """
    if condition == LOOKUP:
        style = Style(chat=settings.chat, thinking=settings.model.thinking)
        case = off_template_case("lookup", family, index, tokenizer, seed=settings.seed, style=style)
        return Scene(condition, case, (block_span(case.clean, "session"),))
    blocks, late, place = CONDITIONS[condition]
    style = Style(
        n_fillers=settings.n_fillers if n_fillers is None else n_fillers,
        field_late=late,
        chat=settings.chat,
        thinking=settings.model.thinking,
    )
    rng = np.random.default_rng([settings.seed, index, stable_seed(family.name)])
    value, other = drawn_values(family, rng, tokenizer, None)
    chosen = draw(family, rng, style.n_fillers)
    turn = index + [one.name for one in FAMILIES].index(family.name)
    wording = list(RULES)[turn % len(RULES)]
    instance = Instance(family, index, chosen, wording, style)
    others = [_skill(one, number, turn + number + 1) for number, one in enumerate(skills)]
    sides = [
        build(
            _laid_out(_messages(instance, held, value), place, before, others),
            Segment("decision", CUE, "decision"),
            tokenizer,
            chat=style.chat,
            thinking=style.thinking,
        )
        for held in (value, other)
    ]
    case = paired(instance, "field", (sides[0], sides[1]), tokenizer)
    if skills:
        return Scene(condition, case, _skill_spans(case.clean, len(skills)))
    spans = [block_span(case.clean, name) for name in blocks]
    return Scene(condition, case, tuple(sorted(spans)))


def _messages(instance: Instance, held: str, trigger: str) -> tuple[Message, Message]:
    system, user = instance.messages(value=held, trigger=trigger)
    return system, user


def _laid_out(
    made: tuple[Message, Message], place: str, before: int, skills: Sequence[Segment]
) -> tuple[Message, ...]:
    """The messages with the policy put in its place, sentences before it and other policies around it."""
    system, user = made
    far = tuple(Segment("system", f" {FILLERS[i % len(FILLERS)]}") for i in range(before))
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


def block_span(prompt: Prompt, *blocks: str) -> Span:
    """Half-open token span of a block, or of several that are neighbours.

    Raises:
        PkvError: they are not in one piece.
    """
    kinds = {kind for block in blocks for kind in BLOCKS[block]}
    inside = [i for i, kind in enumerate(prompt.kinds) if kind in kinds]
    if not inside or inside[-1] - inside[0] + 1 != len(inside):
        raise PkvError(f"the blocks {', '.join(blocks)} are not in one piece", "name neighbouring blocks")
    return inside[0], inside[-1] + 1


def _skill_spans(prompt: Prompt, n: int) -> tuple[Span, ...]:
    """Spans of all policies, in order: the others by their names, the one that matters between them."""
    start, stop = block_span(prompt, "policy")
    named = sorted(prompt.spans[f"skill_{number}"] for number in range(n))
    cuts = sorted({start, stop, *(edge for span in named for edge in span)})
    return tuple(zip(cuts[:-1], cuts[1:], strict=True))
