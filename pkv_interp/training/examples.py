"""The gate adapter's training examples: a seeded stream of prompts with the answers they call for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.training import event_wordings, wordings
from pkv_interp.training.draws import n_fillers, pick, record, two
from pkv_interp.training.rules import Rule, draw_rule
from pkv_interp.training.skeletons import EASY_FORMS, bystanders, document, separators, session
from pkv_interp.training.updates import Event, Kind, events, report

KINDS: tuple[Kind, ...] = get_args(Kind)
#: Kinds without an event after the prompt: the field stands before the rule, or after it.
PLACES: tuple[Kind, ...] = ("plain", "late")


@dataclass(frozen=True)
class Turn:
    """A user text and what the assistant says to it: what it reads back, then ``cue`` + blank + ``answer``.

    Attributes:
        text: of the user.
        cue: of the assistant; all that it says where there is no answer.
        answer: the action that must follow; None where the turn asks for none, and nothing is learnt from it.
        read: names and values that it states first, a line each; the values are learnt as well.
    """

    text: str
    cue: str
    answer: str | None
    read: tuple[tuple[str, str], ...] = ()

    @property
    def opening(self) -> str:
        """What stands before the answer and its blank."""
        return "".join(read_back_cue(name, value) for name, value in self.read) + self.cue


@dataclass(frozen=True)
class Example:
    """One conversation: system text, then turns, of which each one that asks has its own gold answer.

    Attributes:
        kind: one of `KINDS`.
        system: system text.
        turns: the last one asks.
        chat: render through the chat template.
    """

    kind: str
    system: str
    turns: tuple[Turn, ...]
    chat: bool


@dataclass(frozen=True)
class _Opening:
    """What the examples over one document share: all up to the request."""

    rule: Rule
    value: str
    others: tuple[str, ...]
    system: str
    turns: tuple[Turn, ...]
    blocks: tuple[str, ...]
    block: str
    line: str
    cue: str
    request: str | None
    chat: bool


def _opening(rng: np.random.Generator, late: bool, match: bool, breadth: float, longest: int) -> _Opening:
    rule = draw_rule(rng, plain=rng.random() >= breadth)
    value = rule.trigger if match else rule.other
    others = bystanders(rng, rule, breadth)
    sentences = n_fillers(rng, round(1 + (longest - 1) * breadth))
    blocks = [
        session(rng, [(rule.field, value), *others], breadth),
        document(rng, rule, sentences, breadth),
    ]
    if late:
        blocks.reverse()
    if rng.random() < 0.25:
        # After both blocks in narrow prompts, at any place in broad ones.
        place = int(rng.integers(3)) if rng.random() < breadth else 2
        blocks.insert(place, pick(rng, wordings.TOOLS))
    cue = pick(rng, wordings.CUES) if rng.random() < 0.6 * breadth else wordings.CUES[0]
    system, between = pick(rng, wordings.ROLES), separators(rng, breadth)
    chat = bool(rng.random() >= 0.15 * breadth)
    turns: list[Turn] = []
    request = pick(rng, wordings.REQUESTS).format(id=record(rng)) if rng.random() < 0.1 * breadth else None
    shape = rng.random()
    if shape < 0.12 * breadth:  # the first block belongs to the system text
        system, blocks = f"{system}{between.block}{blocks[0]}", blocks[1:]
    elif shape < 0.24 * breadth:  # a message for each block
        replied = pick(rng, event_wordings.REPLIES)
        turns, blocks = [Turn(text, replied, None) for text in blocks], []
    if request is not None:
        # The request opens the prompt, and the question at the end does not repeat it.
        if turns:
            turns[0] = replace(turns[0], text=f"{request}{between.block}{turns[0].text}")
        else:
            blocks.insert(0, request)
    return _Opening(
        rule,
        value,
        tuple(name for name, _ in others),
        system,
        tuple(turns),
        tuple(blocks),
        between.block,
        between.line,
        cue,
        request,
        chat,
    )


def make(
    rng: np.random.Generator,
    kind: Kind,
    match: bool,
    breadth: float = 1.0,
    longest: int = 90,
    *,
    late: bool | None = None,
    ending: np.random.Generator | None = None,
) -> Example:
    """One example of a kind.

    Args:
        rng: draws the prompt up to the request, and the rest where there is no ``ending``.
        kind: one of ``KINDS``.
        match: the field starts at the trigger's value.
        breadth: 0 for one plain layout and short prompts, 1 for everything: odd layouts, long documents,
            other fields that carry the rule's values or are named like its field, a second rule, blocks in
            several turns, prompts without the chat template.
        longest: neutral sentences at full breadth.
        late: the field stands after the rule; by the kind where None.
        ending: draws the request, what happens before it, and the question.
    """
    opening = _opening(rng, kind == "late" if late is None else late, match, breadth, longest)
    end = rng if ending is None else ending
    rule, value = opening.rule, opening.value
    happened = events(end, kind, rule, value, opening.others, breadth)
    request = opening.request
    asked = pick(end, wordings.REQUESTS).format(id=record(end)) if request is None else ""
    turns, blocks = list(opening.turns), list(opening.blocks)

    def ask(text: list[str], now: str, before: str = "") -> None:
        question = _question(end, rule)
        tail = opening.line.join(t for t in (asked, before, question) if t)
        turns.append(Turn(opening.block.join([*text, tail]), opening.cue, rule.answer(now)))

    if happened and end.random() < 0.35 * breadth:  # decide once before anything happens, then again
        ask(blocks, value)
        blocks = []
    placement = end.random()
    if len(happened) > 1 and placement < 0.3 * breadth:  # a turn for each event, with a decision or a reply
        for event in happened[:-1]:
            value = event.value
            # Of a third value both members of a pair say the same, which no pair should.
            if end.random() < 0.5 and value in (rule.trigger, rule.other):
                ask([*blocks, event.text], value)
            else:
                turns.append(
                    Turn(opening.block.join([*blocks, event.text]), pick(end, event_wordings.REPLIES), None)
                )
            blocks = []
        happened = happened[-1:]
    _last(end, blocks, happened, value, breadth, ask)
    return Example(kind, opening.system, tuple(turns), opening.chat)


def _last(
    rng: np.random.Generator,
    blocks: list[str],
    happened: list[Event],
    value: str,
    breadth: float,
    ask: Callable[..., None],
) -> None:
    """The last turn: what has not been told yet stands before the request, or between it and the question."""
    value = happened[-1].value if happened else value
    told = report(rng, [event.text for event in happened], breadth) if happened else ""
    if told and rng.random() < 0.4 * breadth:
        ask(blocks, value, told)
    else:
        ask([*blocks, *([told] if told else [])], value)


def _question(rng: np.random.Generator, rule: Rule) -> str:
    x, y = two(rng, (rule.act, rule.otherwise))
    return pick(rng, wordings.QUESTIONS).format(x=x, y=y)


def lesson(rng: np.random.Generator, kind: Kind, match: bool, listings: bool) -> Example:
    """A short example of the opening: one field, one rule, a question that may not repeat the actions.

    First lessons list an action per value, which the base model half understands; later ones also have rules
    with an "otherwise". Accuracy stayed at chance for 90 steps when training began at full breadth.

    Args:
        rng: draws everything that is not given.
        kind: "plain" or "late".
        match: the field starts at the trigger's value.
        listings: rules list an action per value, and questions are open.
    """
    rule = draw_rule(rng, listing=listings or rng.random() < 0.4, plain=True)
    value = rule.trigger if match else rule.other
    blocks = [pick(rng, wordings.FIELD_FORMS[:EASY_FORMS]).format(field=rule.field, value=value), rule.text]
    if kind == "late":
        blocks.reverse()
    repeat = not listings and rng.random() < 0.5
    question = _question(rng, rule) if repeat else pick(rng, wordings.OPEN_QUESTIONS)
    turn = Turn("\n\n".join([*blocks, question]), wordings.CUES[0], rule.answer(value))
    return Example(kind, pick(rng, wordings.ROLES), (turn,), True)


def lessons(seed: int, step: int, size: int, mix: Mapping[Kind, float], listings: bool) -> list[Example]:
    """Opening lessons of one step, plain or late by ``mix``, in pairs as `batch`.

    Args:
        seed: of the training.
        step: of the training.
        size: number of examples.
        mix: shares of the kinds.
        listings: see ``lesson``.
    """
    drawn = np.random.default_rng([seed, step])
    kinds: list[Kind] = [_of(drawn, mix, PLACES) for _ in range((size + 1) // 2)]
    return [
        lesson(np.random.default_rng([seed, step, pair]), kind, match, listings)
        for pair, kind in enumerate(kinds)
        for match in (True, False)
    ][:size]


def batch(
    seed: int,
    step: int,
    size: int,
    mix: Mapping[Kind, float],
    breadth: float,
    longest: int,
    endings: int = 1,
) -> list[Example]:
    """Examples of one step, kinds drawn by ``mix``.

    They come in pairs that differ in the field's value alone, so with opposite answers: whatever else in a
    prompt might hint at an action cancels within the batch, and only the comparison of field and rule is left
    to learn. A document serves several pairs, each with an ending of its own; their common beginning is run
    once (see `prefixes`). Plain and late are the two places of a document's field, in the ratio of their
    shares; endings with events come after documents of either place.

    Args:
        seed: of the training.
        step: of the training.
        size: number of examples.
        mix: shares of the kinds.
        breadth: see ``make``.
        longest: see ``make``.
        endings: pairs over one document.
    """
    drawn = np.random.default_rng([seed, step])
    found: list[Example] = []
    for number in range(-(-size // (2 * endings))):
        place = _of(drawn, mix, PLACES)
        for ending, kind in enumerate(_endings(drawn, mix, place, endings)):
            for match in (True, False):
                # The same for the same seed and step, so that a resumed run sees the same stream.
                rng, end = (np.random.default_rng([seed, step, number, *more]) for more in ((), (ending,)))
                found.append(make(rng, kind, match, breadth, longest, late=place == "late", ending=end))
    return found[:size]


def _of(rng: np.random.Generator, mix: Mapping[Kind, float], among: Sequence[Kind]) -> Kind:
    """A kind of some, by their shares; the first of them where all shares are 0."""
    shares = np.array([mix.get(kind, 0.0) for kind in among])
    total = float(shares.sum())
    return among[int(rng.choice(len(among), p=shares / total))] if total > 0 else among[0]


def _endings(rng: np.random.Generator, mix: Mapping[Kind, float], place: Kind, count: int) -> list[Kind]:
    """Kinds over one document, by their shares: each once, before any comes again."""
    shares: dict[Kind, float] = {place: sum(mix.get(kind, 0.0) for kind in PLACES)}
    shares |= {kind: mix.get(kind, 0.0) for kind in KINDS if kind not in PLACES}
    found: list[Kind] = []
    while len(found) < count:
        left: list[Kind] = [kind for kind, share in shares.items() if share > 0 and kind not in found]
        found.append(_of(rng, shares, left or [kind for kind in shares if shares[kind] > 0]))
    return found
