"""Mutable state to edit into weights: one record's field has changed, other records' have not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pkv_interp.prompts.readout import action_ids
from pkv_interp.streams import stream
from pkv_interp.tasks import Family, Instance, Message, Prompt, Recipe, Scenarios, Segment
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.draws import Draw, draw
from pkv_interp.tasks.layouts import CUE
from pkv_interp.weight_editing.decisions import Choice
from pkv_interp.weight_editing.statements import Statement, statement

#: Ways to state the new value of a record; the record is the subject and the value comes next.
VALUE_STATEMENTS = (
    "The {field} of record \0 is",
    "In the log of record \0 the {field} reads",
)


@dataclass(frozen=True)
class RecordPrompt:
    """One record's prompt: the text up to the question, and the whole as tokens.

    Attributes:
        messages: without the question.
        question: the last line of the user's message.
        prompt: all of it, rendered.
        actions: when the field equals the rule's trigger, and when it does not.
        choice: the prompt's tokens and those of the actions.
        cue: opens the answer.
    """

    messages: tuple[Message, ...]
    question: str
    prompt: Prompt
    actions: tuple[str, str]
    choice: Choice
    cue: str = CUE

    @property
    def record_end(self) -> int:
        """Position of the record number's last token."""
        return self.prompt.spans["record"][1] - 1


@dataclass(frozen=True)
class RecordEdit:
    """A record whose field turns from an old into a new value, and what must not change with it.

    Attributes:
        mine: the record's prompt with the old value, which the edit starts from.
        renewed: the same text with the new value in place; its decision is the wanted one.
        rephrased: the record's prompt with the old value and another wording of the rule.
        others: other records of the family with the old value.
        wanted: sign of the margin that is right after the edit: 1.0 for the first action.
    """

    family: str
    instance: str
    field: str
    record: str
    old: str
    new: str
    mine: RecordPrompt
    renewed: RecordPrompt
    rephrased: RecordPrompt
    others: tuple[RecordPrompt, ...]
    wanted: float

    @property
    def target(self) -> int:
        """The token of the wanted action."""
        return self.mine.choice.options[0 if self.wanted > 0.0 else 1]

    def decision_statement(self, *, at_record: bool) -> Statement:
        """The record's own prompt with the wanted action next, keyed on the record or on the last token."""
        ids = self.mine.choice.ids
        return Statement(ids, self.mine.record_end if at_record else len(ids) - 1, self.target)

    def value_statements(self, tokenizer: Any) -> tuple[Statement, ...]:
        """The new value in several phrasings, keyed on the record."""
        parts = [text.format(field=self.field).split("\0") for text in VALUE_STATEMENTS]
        return tuple(statement(tokenizer, a, self.record, b, self.new) for a, b in parts)


def record_edit(family: Family, index: int, tokenizer: Any, *, recipe: Recipe, n_others: int) -> RecordEdit:
    """Draw one: even indices turn the rule's action on, odd ones off.

    Args:
        family: the domain.
        index: of the edit in its family.
        tokenizer: the two values of the field take as many of its tokens.
        recipe: seed, style and scenarios; the scenarios have two rule wordings at least.
        n_others: other records, with the rule, the values and the action order of this one.

    Raises:
        PkvError: the family has no two values of one length, or an action is not one token.
    """
    scenarios, style = recipe.scenarios, recipe.style
    rng = stream(recipe.seed, "record edit", family.name, index)
    pairs = aligned_values(family, tokenizer)
    pair = pairs[int(rng.integers(len(pairs)))]
    turn = int(rng.integers(2))
    new, old = pair[turn], pair[1 - turn]
    trigger = new if index % 2 == 0 else old
    chosen = draw(family, rng, style.n_fillers, scenarios)
    rules = list(scenarios.rules)
    wording, another = (rules[int(i)] for i in rng.permutation(len(rules))[:2])

    def prompt(who: Draw, value: str, wording: str = wording) -> RecordPrompt:
        return _prompt(Instance(family, index, who, wording, style, scenarios), value, trigger, tokenizer)

    return RecordEdit(
        family=family.name,
        instance=f"{family.name}-{index}-{chosen.record}",
        field=family.field,
        record=chosen.record,
        old=old,
        new=new,
        mine=prompt(chosen, old),
        renewed=prompt(chosen, new),
        rephrased=prompt(chosen, old, another),
        others=tuple(prompt(other, old) for other in _others(family, chosen, rng, n_others, scenarios)),
        wanted=1.0 if new == trigger else -1.0,
    )


def _others(
    family: Family, chosen: Draw, rng: np.random.Generator, n: int, scenarios: Scenarios
) -> Sequence[Draw]:
    """Draws with other record numbers and bystander fields, all else as chosen."""
    found: dict[str, Draw] = {}
    while len(found) < n:
        fresh = draw(family, rng, 0, scenarios)
        if fresh.record != chosen.record:
            found[fresh.record] = replace(chosen, record=fresh.record, bystanders=fresh.bystanders)
    return list(found.values())


def _prompt(instance: Instance, value: str, trigger: str, tokenizer: Any) -> RecordPrompt:
    family, who = instance.family, instance.chosen
    *before, last = (
        replace(
            message,
            segments=tuple(
                part
                for segment in message.segments
                for part in _split_record(_named(segment, family.field), who.record)
            ),
        )
        for message in instance.messages(value=value, trigger=trigger)
    )
    *body, question = last.segments
    prompt = instance.prompt((*before, last), tokenizer)
    return RecordPrompt(
        (*before, replace(last, segments=tuple(body))),
        question.text,
        prompt,
        who.actions,
        Choice(prompt.ids, action_ids(prompt, who.actions, tokenizer)),
        instance.scenarios.layout(instance.style).cue,
    )


def _named(segment: Segment, field: str) -> Segment:
    """The field under its own name, by which an editor knows it."""
    return replace(segment, name=field) if segment.kind == "field" else segment


def _split_record(segment: Segment, record: str) -> list[Segment]:
    """The request's segment in parts, so that the record number is a span of its own."""
    if segment.name != "conversation":
        return [segment]
    before, _, after = segment.text.partition(record)
    return [
        Segment("conversation", before, "conversation"),
        Segment("conversation", record, "record"),
        Segment("conversation", after, "conversation"),
    ]
