"""Cases: aligned pairs of prompts that differ in one span, with the action each one calls for.

A *polarity pair* keeps the field byte for byte and flips the rule's trigger, so only the conclusion changes;
a *field pair* keeps the rule and flips the field (protocol of arXiv 2606.17107, deep controls and patching).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.prompts.errata import UPDATES
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Message, Prompt, Segment, build
from pkv_interp.tasks.alignment import aligned_values, check_values
from pkv_interp.tasks.draws import Draw, draw, stable_seed
from pkv_interp.tasks.families import BY_NAME, Family, split_of
from pkv_interp.tasks.wordings import RULES, TOOLS

CUE = "Action:"
#: Opens a chain of thought: in plain text, and where the template has a thinking block.
REASON_CUE, THINK_CUE = "Reason:", "<think>"


@dataclass(frozen=True)
class Style:
    """How prompts are laid out.

    Attributes:
        n_fillers: neutral sentences, half of them before the rule.
        field_late: put the session block with the field after the rule.
        chat: use the chat template where the tokenizer has one.
        thinking: the template's thinking switch.
        n_rules: how often the rule is stated, one copy after the other.
        reason_first: ask for a reason before the answer; the prompt ends where the chain starts.
    """

    n_fillers: int = 2
    field_late: bool = False
    chat: bool = True
    thinking: bool | None = None
    n_rules: int = 1
    reason_first: bool = False

    @property
    def cue(self) -> str:
        """The text that the prompt ends with."""
        if not self.reason_first:
            return CUE
        return THINK_CUE if self.thinking else REASON_CUE


@dataclass(frozen=True)
class Case:
    """One instance: two prompts of equal length that differ in one span.

    Attributes:
        action_ids: token ids; the margin is ``logit[action_ids[0]] - logit[action_ids[1]]``, positive on
            clean.
        changed: name of the span in which clean and corrupt differ (``"trigger"`` or ``"field"``).
    """

    family: str
    split: str
    instance: str
    wording: str
    changed: str
    clean: Prompt
    corrupt: Prompt
    actions: tuple[str, str]
    action_ids: tuple[int, int]

    @property
    def after_change(self) -> int:
        """First position after the changed span: where notes can start."""
        return self.clean.spans[self.changed][1]


def messages(
    family: Family,
    chosen: Draw,
    *,
    value: str,
    trigger: str,
    wording: str,
    style: Style,
    update: tuple[str, str] | None = None,
    update_field: str | None = None,
) -> tuple[Message, ...]:
    """System and user messages of one prompt.

    Args:
        value: the field's value.
        trigger: the value that the rule names.
        wording: key of `RULES`.
        update: wording key of `UPDATES` and new value, appended after everything but the decision question.
        update_field: the field that the update names, when it is another one than the family's.
    """
    session = [
        Segment("session", f"Session\n{chosen.bystanders[0]}\n"),
        Segment("session", f"{family.field}: "),
        Segment("field", value, "field"),
        Segment("session", f"\n{chosen.bystanders[1]}\n\n"),
    ]
    before, after = (
        RULES[wording]
        .format(field=family.field, trigger="\0", act=chosen.actions[0], other=chosen.actions[1])
        .split("\0")
    )
    half = len(chosen.fillers) // 2
    rule = [
        Segment("rule", "Policy\n"),
        *(Segment("filler", f"{text}\n", "fillers_before") for text in chosen.fillers[:half]),
        *(
            segment
            for copy in range(style.n_rules)
            for segment in _rule(before, trigger, after, chosen.actions, last=copy == style.n_rules - 1)
        ),
        *(Segment("filler", f"{text}\n", "fillers") for text in chosen.fillers[half:]),
        Segment("rule", "\n"),
    ]
    tail = [
        Segment("tools", f"Tools\n{TOOLS}\n\n", "tools"),
        Segment("conversation", family.request.format(id=chosen.record) + "\n", "conversation"),
    ]
    if update:
        text = UPDATES[update[0]].format(field=update_field or family.field, value=update[1])
        tail.append(Segment("update", text[0].upper() + text[1:] + "\n", "update"))
    ask = "Give your reason in a sentence, then answer" if style.reason_first else "Answer"
    tail.append(
        Segment("decision", f"{ask} with one word, {chosen.menu[0]} or {chosen.menu[1]}.", "question")
    )
    body = [*rule, *session, *tail] if style.field_late else [*session, *rule, *tail]
    return Message("system", (Segment("system", family.role, "system"),)), Message("user", tuple(body))


def _rule(before: str, trigger: str, after: str, actions: Sequence[str], *, last: bool) -> list[Segment]:
    """One statement of the rule; the last one's parts are named spans, and so is every trigger."""
    parts = [
        *_mark_actions(before, actions),
        Segment("trigger", trigger, "trigger"),
        *_mark_actions(after, actions),
        Segment("rule", "\n"),
    ]
    return parts if last else [p if p.name == "trigger" else replace(p, name=None) for p in parts]


def _mark_actions(text: str, actions: Sequence[str]) -> Iterable[Segment]:
    """Split rule text so that its action words are segments of their own kind."""
    cuts = sorted((text.index(f" {a}") + 1, a) for a in actions if f" {a}" in text)
    at = 0
    for start, action in cuts:
        yield Segment("rule", text[at:start])
        yield Segment("action", action, f"action_{'act' if action == actions[0] else 'other'}")
        at = start + len(action)
    if text[at:]:
        yield Segment("rule", text[at:], "rule")


def _case(
    family: Family,
    index: int,
    changed: str,
    sides: tuple[tuple[str, str], tuple[str, str]],
    chosen: Draw,
    wording: str,
    style: Style,
    tokenizer: Any,
) -> Case:
    """The case whose clean and corrupt prompts have the given (value, trigger)."""
    prompts = [
        build(
            messages(family, chosen, value=value, trigger=trigger, wording=wording, style=style),
            Segment("decision", style.cue, "decision"),
            tokenizer,
            chat=style.chat,
            thinking=style.thinking,
        )
        for value, trigger in sides
    ]
    clean, corrupt = prompts
    return paired(family, index, changed, clean, corrupt, chosen, wording, tokenizer)


def paired(
    family: Family,
    index: int,
    changed: str,
    clean: Prompt,
    corrupt: Prompt,
    chosen: Draw,
    wording: str,
    tokenizer: Any,
) -> Case:
    """The case of two prompts that differ in the span ``changed``.

    Raises:
        PkvError: they do not align token by token, or an action is not one token after them.
    """
    if len(clean) != len(corrupt) or clean.spans != corrupt.spans:
        raise PkvError(
            f"the two prompts of '{family.name}' do not align ({len(clean)} and {len(corrupt)} tokens)",
            f"choose values that tokenise to one length in the {changed} span",
        )
    return Case(
        family.name,
        split_of(family.name),
        f"{family.name}-{index}-{chosen.record}",
        wording,
        changed,
        clean,
        corrupt,
        chosen.actions,
        action_ids(clean, chosen.actions, tokenizer),
    )


def polarity_case(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    seed: int,
    style: Style = Style(),
    wordings: Sequence[str] = tuple(RULES),
    values: tuple[str, str] | None = None,
) -> Case:
    """Clean: the trigger is the field's value. Corrupt: another value; the field is untouched."""
    rng = np.random.default_rng([seed, index, stable_seed(family.name)])
    value, other = drawn_values(family, rng, tokenizer, values)
    chosen = draw(family, rng, style.n_fillers)
    wording = wordings[index % len(wordings)]
    sides = (value, value), (value, other)
    return _case(family, index, "trigger", sides, chosen, wording, style, tokenizer)


def field_case(
    family: Family,
    index: int,
    tokenizer: Any,
    *,
    seed: int,
    style: Style = Style(),
    wordings: Sequence[str] = tuple(RULES),
    values: tuple[str, str] | None = None,
    redraw: int = 0,
) -> Case:
    """Clean: the field has the rule's trigger as its value. Corrupt: another value; the rule is untouched.

    With ``redraw`` above 0 record number and bystander fields are drawn anew, and nothing else.
    """
    rng = np.random.default_rng([seed, index, stable_seed(family.name)])
    value, other = drawn_values(family, rng, tokenizer, values)
    chosen = draw(family, rng, style.n_fillers)
    if redraw:
        fresh = draw(family, np.random.default_rng([seed, index, stable_seed(family.name), redraw]), 0)
        chosen = replace(chosen, record=fresh.record, bystanders=fresh.bystanders)
    wording = wordings[index % len(wordings)]
    sides = (value, value), (other, value)
    return _case(family, index, "field", sides, chosen, wording, style, tokenizer)


def drawn_values(
    family: Family, rng: np.random.Generator, tokenizer: Any, values: tuple[str, str] | None
) -> tuple[str, str]:
    """Two values of one token length in random order: those given, once checked, or a pair of the family's.

    Raises:
        PkvError: the given values are unknown or differ in length, or no two of the family's agree.
    """
    if values is not None:
        check_values(family, values, tokenizer)
        return values
    pairs = aligned_values(family, tokenizer)
    pair = pairs[int(rng.integers(len(pairs)))]
    flip = int(rng.integers(2))
    return pair[flip], pair[1 - flip]


def families(names: Sequence[str]) -> list[Family]:
    """Families by name.

    Raises:
        PkvError: a name is unknown.
    """
    unknown = [n for n in names if n not in BY_NAME]
    if unknown:
        raise PkvError(f"unknown scenario family '{unknown[0]}'", f"choose from {', '.join(BY_NAME)}")
    return [BY_NAME[n] for n in names]
