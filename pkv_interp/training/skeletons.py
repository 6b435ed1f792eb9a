"""Skeletons of the training prompts: how fields and a rule among neutral sentences are set out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.training import wordings
from pkv_interp.training.draws import filler, pick
from pkv_interp.training.rules import Rule, draw_rule, other_field, other_value

#: Field forms of the lessons and of narrow prompts, from the head of the pool.
EASY_FORMS = 7


@dataclass(frozen=True)
class Separators:
    """What stands between the blocks of a prompt, and between the lines at its end."""

    block: str = "\n\n"
    line: str = "\n"


def separators(rng: np.random.Generator, breadth: float) -> Separators:
    """Draw what stands between blocks and lines."""
    if rng.random() >= 0.4 * breadth:
        return Separators()
    return Separators(pick(rng, wordings.BLOCK_JOINTS), pick(rng, ("\n", "\n", "\n\n", " ")))


def bystanders(rng: np.random.Generator, rule: Rule, breadth: float) -> list[tuple[str, str]]:
    """Distractor fields; with ``breadth``, some are named like the rule's and some hold its values."""
    lines: list[tuple[str, str]] = []
    for _ in range(int(rng.choice(5, p=(0.3, 0.27, 0.22, 0.14, 0.07)))):
        name = other_field(rng, rule, near=0.3 * breadth)
        value = other_value(rng, rule, ruling=0.35 * breadth)
        if name not in [known for known, _ in lines]:
            lines.append((name, value))
    return lines


def session(rng: np.random.Generator, fields: Sequence[tuple[str, str]], breadth: float) -> str:
    """The block with the fields: lines of one form, a table, an object, or one line.

    Args:
        rng: draws form, heading and order.
        fields: names and values.
        breadth: 0 for plain lines, 1 for every shape.
    """
    broad = rng.random() < breadth
    form = pick(rng, wordings.FIELD_FORMS if broad else wordings.FIELD_FORMS[:EASY_FORMS])
    heading = pick(rng, wordings.SESSION_HEADINGS if broad else wordings.SESSION_HEADINGS[:2])
    shape = pick(rng, ("lines", "lines", "lines", "table", "object", "one line", "numbered"))
    order = [fields[int(i)] for i in rng.permutation(len(fields))]
    if broad and shape == "table":
        body = "\n".join(["| name | value |", "| --- | --- |", *(f"| {n} | {v} |" for n, v in order)])
    elif broad and shape == "object":
        body = "{\n" + ",\n".join(f'  "{n}": "{v}"' for n, v in order) + "\n}"
    elif broad and shape == "one line":
        body = "; ".join(f"{n}={v}" for n, v in order)
    elif broad and shape == "numbered":
        body = "\n".join(f"{i}) {form.format(field=n, value=v)}" for i, (n, v) in enumerate(order, start=1))
    else:
        body = "\n".join(form.format(field=n, value=v) for n, v in order)
    return "\n".join([*([heading] if heading else []), body])


def document(rng: np.random.Generator, rule: Rule, n_sentences: int, breadth: float) -> str:
    """The block with the rule among neutral sentences: lines, paragraphs, lists or sections.

    Args:
        rng: draws the sentences and the shape.
        rule: stands at a random place.
        n_sentences: neutral ones.
        breadth: 0 for plain lines, 1 for every shape and, at times, a second rule.
    """
    lines: list[str] = []
    while n_sentences > 0:
        # Long documents come in paragraphs of up to four sentences.
        some = min(n_sentences, 1 if n_sentences <= 12 else int(rng.integers(1, 5)))
        lines.append(" ".join(filler(rng) for _ in range(some)))
        n_sentences -= some
    lines.insert(int(rng.integers(len(lines) + 1)), rule.text)
    if rng.random() < 0.12 * breadth:
        lines.insert(int(rng.integers(len(lines) + 1)), draw_rule(rng, avoid=(rule.name,)).text)
    joint, shape = "\n", rng.random()
    if shape < 0.12 * breadth:
        lines = [f"{i}. {line}" for i, line in enumerate(lines, start=1)]
    elif shape < 0.22 * breadth:
        mark = pick(rng, ("- ", "* ", "> "))
        lines = [mark + line for line in lines]
    elif shape < 0.32 * breadth:
        every = int(rng.integers(2, 6))
        lines = [
            f"{pick(rng, wordings.SECTION_MARKS).format(n=i // every + 1)}\n{line}"
            if i % every == 0
            else line
            for i, line in enumerate(lines)
        ]
    elif shape < 0.42 * breadth:
        joint = "\n\n"
    elif shape < 0.6 * breadth and "\n" not in rule.text:
        joint = " "
    heading = pick(rng, wordings.HEADINGS if rng.random() < breadth else wordings.HEADINGS[:2])
    return (f"{heading}\n" if heading else "") + joint.join(lines)
