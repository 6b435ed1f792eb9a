"""Prompts of which it is known where fields, blocks and links stand: lessons under an attention layout."""

from dataclasses import dataclass, replace

import numpy as np

from pkv_interp.prompts.links import link_text
from pkv_interp.training import wordings
from pkv_interp.training.draws import n_fillers, pick, record, two
from pkv_interp.training.marking import BLOCK, FIELD, LINKS, OTHER, RULE, Mark, marked, read
from pkv_interp.training.rules import Rule, draw_rule, other_value
from pkv_interp.training.skeletons import bystanders, document, separators, session
from pkv_interp.training.updates import Kind, events, report


@dataclass(frozen=True)
class LayoutPrompt:
    """One prompt with the answer that it calls for.

    Attributes:
        system: system text.
        text: of the user.
        marks: in characters of ``text``; the last block begins where the last of them ends, or after it.
        end: character of ``text`` at which the last block begins.
        answer, other: the action that must follow, and the other one.
        field, value: that decide: its name as the prompt writes it, and the value in force at the question.
        late: the field stands after the rule.
        changed: an update in the last block gives the field another value than its place in the prompt.
    """

    system: str
    text: str
    marks: tuple[Mark, ...]
    end: int
    answer: str
    other: str
    field: str
    value: str
    late: bool
    changed: bool


@dataclass(frozen=True)
class Draw:
    """What a prompt is drawn by.

    Attributes:
        kind: what happens after the prompt has stated its fields.
        late: the field stands after the rule.
        links: link tokens that follow the rule, where the field stands before it.
        blind: the links follow the rule's block, of which its tokens may see nothing else.
        short: a lesson of one rule without neutral sentences.
        breadth: 0 for plain lines, 1 for every shape.
        longest: neutral sentences at full breadth.
    """

    kind: Kind
    late: bool
    links: int = 0
    blind: bool = False
    short: bool = False
    breadth: float = 0.0
    longest: int = 90


def draw_prompt(
    rng: np.random.Generator, how: Draw, match: bool, *, other_changed: bool = False
) -> LayoutPrompt:
    """Draw a prompt. From one seed, prompts differ in what is asked for and in nothing else.

    Args:
        rng: draws everything that is not given.
        how: what is drawn.
        match: the field's value is the trigger.
        other_changed: the first of the other fields has another value; nothing changes where there is none.
    """
    rule = draw_rule(rng, listing=how.short and rng.random() < 0.4, plain=rng.random() >= how.breadth)
    value = rule.trigger if match else rule.other
    fields = _fields(rng, rule, value, how, other_changed)
    between = separators(rng, how.breadth)
    sentences = 0 if how.short else n_fillers(rng, round(1 + (how.longest - 1) * how.breadth))
    state = marked(BLOCK, session(rng, fields, how.breadth))
    blocks = [state, _policy(rng, rule, how, sentences)]
    if how.late:
        blocks.reverse()
    request = pick(rng, wordings.REQUESTS).format(id=record(rng))
    # The request stands with the context or with the question, as in contexts that are edited or asked anew.
    early, question, system = rng.random() < 0.5, _question(rng, rule), pick(rng, wordings.ROLES)
    happened = events(rng, how.kind, rule, value, [name for name, _ in fields], how.breadth)
    told = report(rng, [event.text for event in happened], how.breadth) if happened else ""
    context = between.block.join([*blocks, *([request] if early else [])])
    asked = between.line.join(part for part in ("" if early else request, told, question) if part)
    text, marks = read(f"{context}{between.block}{asked}")
    now = happened[-1].value if happened else value
    answer = rule.answer(now)
    other = rule.otherwise if answer == rule.act else rule.act
    return LayoutPrompt(
        system=system,
        text=text,
        marks=marks,
        end=len(text) - len(asked),
        answer=answer,
        other=other,
        field=rule.field,
        value=now,
        late=how.late,
        changed=bool(happened) and now != value,
    )


def _fields(
    rng: np.random.Generator, rule: Rule, value: str, how: Draw, other_changed: bool
) -> list[tuple[str, str]]:
    """Names and marked values, the deciding field first; values of both versions are drawn in either."""
    others = bystanders(rng, rule, how.breadth)
    fresh = [other_value(rng, rule, ruling=0.35 * how.breadth) for _ in range(4)]
    if other_changed and others:
        name, held = others[0]
        others[0] = (name, next((new for new in fresh if new != held), held))
    return [(rule.field, marked(FIELD, value)), *((name, marked(OTHER, held)) for name, held in others)]


def _policy(rng: np.random.Generator, rule: Rule, how: Draw, sentences: int) -> str:
    """The block of the rule, with links right after the rule, or after the block where that is blind."""
    links = marked(LINKS, link_text(how.links)) if how.links and not how.late else ""
    text = marked(RULE, rule.text) + ("" if how.blind else links)
    block = marked(BLOCK, document(rng, replace(rule, text=text), sentences, how.breadth))
    return f"{block}{links}" if how.blind else block


def _question(rng: np.random.Generator, rule: Rule) -> str:
    x, y = two(rng, (rule.act, rule.otherwise))
    return pick(rng, wordings.QUESTIONS).format(x=x, y=y)
