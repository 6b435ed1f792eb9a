"""The gate adapter's training examples: a seeded stream of prompts with the answers they call for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.training import vocabulary as words
from pkv_interp.training import wordings

#: Field forms of the lessons, from the head of the pool.
EASY_FORMS = 7
KINDS = ("plain", "late", "update", "other_update")


@dataclass(frozen=True)
class Turn:
    """A user text and the answer that must follow it (``cue`` + blank + ``answer``)."""

    text: str
    cue: str
    answer: str


@dataclass(frozen=True)
class Example:
    """One conversation: system text, then turns, each with its own gold answer.

    Attributes:
        kind: one of `KINDS`.
        chat: render through the chat template.
    """

    kind: str
    system: str
    turns: tuple[Turn, ...]
    chat: bool


def _pick(rng: np.random.Generator, pool: Sequence[str]) -> str:
    return pool[int(rng.integers(len(pool)))]


def _two(rng: np.random.Generator, pool: Sequence[str]) -> tuple[str, str]:
    first, second = rng.permutation(len(pool))[:2]
    return pool[int(first)], pool[int(second)]


def filler(rng: np.random.Generator) -> str:
    """One neutral sentence."""
    return _pick(rng, wordings.FILLERS).format(**{k: _pick(rng, v) for k, v in wordings.FILLER_SLOTS.items()})


def _n_fillers(rng: np.random.Generator, longest: int) -> int:
    low, high = ((0, 2), (3, 7), (8, 16), (17, 30))[int(rng.choice(4, p=(0.58, 0.27, 0.1, 0.05)))]
    return min(int(rng.integers(low, high + 1)), longest)


def _record(rng: np.random.Generator) -> str:
    return f"{'ABCDEFGHKLMNPRSTUVWXYZ'[int(rng.integers(22))]}{int(rng.integers(10, 10000))}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


@dataclass(frozen=True)
class _Rule:
    """A rule, in words, with the field that it reads and that field's two values."""

    field: str
    trigger: str
    other: str
    act: str
    otherwise: str
    text: str

    def answer(self, value: str) -> str:
        return self.act if value == self.trigger else self.otherwise


def _rule(
    rng: np.random.Generator, avoid: Sequence[str] = (), listing: bool = False, plain: bool = False
) -> _Rule:
    field = _pick(rng, [f for f in words.FIELDS if f not in map(_plain, avoid)])
    style = 1.0 if plain else rng.random()
    if style < 0.2:
        field = field.replace(" ", "_")
    elif style < 0.3:
        field = field.title()
    trigger, other = _two(rng, words.VALUES[int(rng.integers(len(words.VALUES)))])
    act, otherwise = _two(rng, [a for a in words.ACTIONS if a not in (trigger, other)])
    listing = listing or (not plain and rng.random() < 0.2)
    pool = wordings.LISTINGS if listing else wordings.RULES
    text = _pick(rng, pool).format(f=field, t=trigger, u=other, a=act, b=otherwise)
    return _Rule(field, trigger, other, act, otherwise, _upper(text) if rng.random() < 0.8 else text)


def _plain(field: str) -> str:
    """A field's name as it stands in the pool, whatever style it was written in."""
    return field.replace("_", " ").lower()


def _other_field(rng: np.random.Generator, rule: _Rule) -> str:
    return _pick(rng, [f for f in words.FIELDS if f != _plain(rule.field)])


def _bystanders(rng: np.random.Generator, rule: _Rule, breadth: float) -> list[tuple[str, str]]:
    """Distractor fields; with ``breadth``, some hold the rule's values, so that names must be matched."""
    lines = []
    for _ in range(int(rng.choice(4, p=(0.35, 0.3, 0.2, 0.15)))):
        name = _other_field(rng, rule)
        value = (
            _pick(rng, (rule.trigger, rule.other))
            if rng.random() < 0.3 * breadth
            else _pick(rng, words.VALUES[int(rng.integers(len(words.VALUES)))])
        )
        lines.append((name, value))
    return lines


def _question(rng: np.random.Generator, rule: _Rule) -> str:
    x, y = _two(rng, (rule.act, rule.otherwise))
    return _pick(rng, wordings.QUESTIONS).format(x=x, y=y)


def _session(
    rng: np.random.Generator, rule: _Rule, value: str, others: list[tuple[str, str]], breadth: float
) -> str:
    broad = rng.random() < breadth
    form = _pick(rng, wordings.FIELD_FORMS if broad else wordings.FIELD_FORMS[:EASY_FORMS])
    lines = [form.format(field=n, value=v) for n, v in [(rule.field, value), *others]]
    heading = _pick(rng, wordings.SESSION_HEADINGS if broad else wordings.SESSION_HEADINGS[:2])
    order = [lines[int(i)] for i in rng.permutation(len(lines))]
    return "\n".join([*([heading] if heading else []), *order])


def _document(rng: np.random.Generator, rule: _Rule, n_fillers: int, breadth: float) -> str:
    # Long documents come in paragraphs, so that 30 of them reach 900 tokens.
    sentences = 1 if n_fillers <= 16 else int(rng.integers(1, 4))
    lines = [" ".join(filler(rng) for _ in range(sentences)) for _ in range(n_fillers)]
    lines.insert(int(rng.integers(n_fillers + 1)), rule.text)
    if rng.random() < 0.1 * breadth:
        lines.insert(int(rng.integers(len(lines) + 1)), _rule(rng, avoid=(rule.field,)).text)
    if rng.random() < 0.15 * breadth:
        lines = [f"{i + 1}. {line}" for i, line in enumerate(lines)]
    heading = _pick(rng, wordings.HEADINGS if rng.random() < breadth else wordings.HEADINGS[:2])
    joint = " " if rng.random() < 0.2 * breadth and "\n" not in rule.text else "\n"
    return (f"{heading}\n" if heading else "") + joint.join(lines)


def make(
    rng: np.random.Generator, kind: str, match: bool, breadth: float = 1.0, longest: int = 30
) -> Example:
    """One example of a kind.

    Args:
        rng: draws everything that is not given.
        kind: one of ``KINDS``.
        match: the field starts at the trigger's value.
        breadth: 0 for one plain layout and short prompts, 1 for everything: odd layouts, long documents,
            other fields that carry the rule's values, a second rule, prompts without the chat template.
        longest: fillers at full breadth.
    """
    rule = _rule(rng, plain=rng.random() >= breadth)
    value = rule.trigger if match else rule.other
    others = _bystanders(rng, rule, breadth)
    n_fillers = _n_fillers(rng, round(1 + (longest - 1) * breadth))
    blocks = [_session(rng, rule, value, others, breadth), _document(rng, rule, n_fillers, breadth)]
    if kind == "late":
        blocks.reverse()
    if rng.random() < 0.2:
        blocks.append("Tools\nlookup(id), send(text)")
    request = _pick(rng, wordings.REQUESTS).format(id=_record(rng))
    cue = _pick(rng, wordings.CUES) if rng.random() < 0.6 * breadth else wordings.CUES[0]
    turns: list[Turn] = []
    if kind in ("update", "other_update"):
        if rng.random() < 0.35 * breadth:  # decide once before the update arrives, then again
            text = "\n\n".join([*blocks, "\n".join(t for t in (request, _question(rng, rule)) if t)])
            turns.append(Turn(text, cue, rule.answer(value)))
            blocks = []
        for _ in range(1 + int(rng.random() < 0.25 * breadth)):
            value, line = _update(rng, rule, value, others, kind)
            blocks.append(line)
    tail = "\n".join(t for t in (request, _question(rng, rule)) if t)
    turns.append(Turn("\n\n".join([*blocks, tail]), cue, rule.answer(value)))
    return Example(kind, _pick(rng, wordings.ROLES), tuple(turns), bool(rng.random() >= 0.15 * breadth))


def lesson(rng: np.random.Generator, kind: str, match: bool, listings: bool) -> Example:
    """A short example of the opening: one field, one rule, a question that may not repeat the actions.

    First lessons list an action per value, which the base model half understands; later ones also have rules
    with an "otherwise". Accuracy stayed at chance for 90 steps when training began at full breadth.

    Args:
        rng: draws everything that is not given.
        kind: "plain" or "late".
        match: the field starts at the trigger's value.
        listings: rules list an action per value, and questions are open.
    """
    rule = _rule(rng, listing=listings or rng.random() < 0.4, plain=True)
    value = rule.trigger if match else rule.other
    blocks = [_pick(rng, wordings.FIELD_FORMS[:EASY_FORMS]).format(field=rule.field, value=value), rule.text]
    if kind == "late":
        blocks.reverse()
    repeat = not listings and rng.random() < 0.5
    question = _question(rng, rule) if repeat else _pick(rng, wordings.OPEN_QUESTIONS)
    turn = Turn("\n\n".join([*blocks, question]), wordings.CUES[0], rule.answer(value))
    return Example(kind, _pick(rng, wordings.ROLES), (turn,), True)


def _update(
    rng: np.random.Generator, rule: _Rule, value: str, others: list[tuple[str, str]], kind: str
) -> tuple[str, str]:
    wording = _pick(rng, wordings.UPDATES)
    if kind == "update":
        value = rule.other if value == rule.trigger else rule.trigger
        return value, _upper(wording.format(f=rule.field, v=value))
    name = (
        others[int(rng.integers(len(others)))][0]
        if others and rng.random() < 0.6
        else _other_field(rng, rule)
    )
    new = (
        _pick(rng, (rule.trigger, rule.other))
        if rng.random() < 0.6
        else _pick(rng, words.VALUES[int(rng.integers(len(words.VALUES)))])
    )
    return value, _upper(wording.format(f=name, v=new))


def lessons(seed: int, step: int, size: int, mix: Sequence[float], listings: bool) -> list[Example]:
    """Opening lessons of one step, plain or late by ``mix``, in pairs as `batch`.

    Args:
        seed: of the training.
        step: of the training.
        size: number of examples.
        mix: shares of the kinds.
        listings: see ``lesson``.
    """
    kinds = _kinds(seed, step, size, mix)
    return _pairs(seed, step, size, lambda rng, pair, match: lesson(rng, kinds[pair], match, listings))


def batch(
    seed: int, step: int, size: int, mix: Sequence[float], breadth: float, longest: int
) -> list[Example]:
    """Examples of one step, kinds drawn by ``mix``.

    They come in pairs that differ in the field's value alone, so with opposite answers: whatever else in a
    prompt might hint at an action cancels within the batch, and only the comparison of field and rule is left
    to learn.

    Args:
        seed: of the training.
        step: of the training.
        size: number of examples.
        mix: shares of the kinds.
        breadth: see ``make``.
        longest: see ``make``.
    """
    kinds = _kinds(seed, step, size, mix)
    return _pairs(seed, step, size, lambda rng, pair, match: make(rng, kinds[pair], match, breadth, longest))


def _kinds(seed: int, step: int, size: int, mix: Sequence[float]) -> list[str]:
    drawn = np.random.default_rng([seed, step]).choice(len(KINDS), size=(size + 1) // 2, p=np.array(mix))
    return [KINDS[int(i)] for i in drawn]


def _pairs(
    seed: int, step: int, size: int, draw: Callable[[np.random.Generator, int, bool], Example]
) -> list[Example]:
    """The same for the same seed and step, so that a resumed run sees the same stream."""
    return [
        draw(np.random.default_rng([seed, step, pair]), pair, match)
        for pair in range((size + 1) // 2)
        for match in (True, False)
    ][:size]
