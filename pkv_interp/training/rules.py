"""Rules of the training examples, and the names of other fields that stand beside a rule's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pkv_interp.training import event_wordings, wordings
from pkv_interp.training import vocabulary as words
from pkv_interp.training.draws import pick, two, upper

#: How the names of a prompt's fields are written.
KEY_STYLES: dict[str, Callable[[str], str]] = {
    "plain": lambda name: name,
    "snake": lambda name: name.replace(" ", "_"),
    "title": lambda name: name.title(),
    "capitals": lambda name: name.upper().replace(" ", "_"),
    "kebab": lambda name: name.replace(" ", "-"),
}
_KEY_SHARES = (0.66, 0.14, 0.1, 0.05, 0.05)


@dataclass(frozen=True)
class Rule:
    """A rule, in words, with the field that it reads and that field's values.

    Attributes:
        name: of the field, as it stands in the pool.
        style: one of `KEY_STYLES`.
        trigger, other: the two values that decide.
        third: values of the same pool for which the rule says ``otherwise``; none where it lists two values.
        act, otherwise: the actions.
        text: the wording.
    """

    name: str
    style: str
    trigger: str
    other: str
    third: tuple[str, ...]
    act: str
    otherwise: str
    text: str

    @property
    def field(self) -> str:
        """The field's name as the prompt writes it."""
        return self.written(self.name)

    def written(self, name: str) -> str:
        """Any field's name, as this prompt writes names."""
        return KEY_STYLES[self.style](name)

    def opposite(self, value: str) -> str:
        """The value that calls for the other action."""
        return self.other if value == self.trigger else self.trigger

    def answer(self, value: str) -> str:
        """The action that a value calls for."""
        return self.act if value == self.trigger else self.otherwise


def draw_rule(
    rng: np.random.Generator, avoid: Sequence[str] = (), listing: bool = False, plain: bool = False
) -> Rule:
    """Draw a rule.

    Args:
        rng: draws everything.
        avoid: names of fields that it must not read.
        listing: it lists an action per value.
        plain: names are written plainly, and nothing is listed unless asked for.
    """
    name = pick(rng, [f for f in words.FIELDS if f not in avoid])
    style = "plain" if plain else list(KEY_STYLES)[int(rng.choice(len(KEY_STYLES), p=_KEY_SHARES))]
    pool = words.VALUES[int(rng.integers(len(words.VALUES)))]
    trigger, other = two(rng, pool)
    act, otherwise = two(rng, [a for a in words.ACTIONS if a not in (trigger, other)])
    listing = listing or (not plain and rng.random() < 0.2)
    text = pick(rng, wordings.LISTINGS if listing else wordings.RULES).format(
        f=KEY_STYLES[style](name), t=trigger, u=other, a=act, b=otherwise
    )
    third = () if listing else tuple(value for value in pool if value not in (trigger, other))
    return Rule(
        name, style, trigger, other, third, act, otherwise, upper(text) if rng.random() < 0.8 else text
    )


def other_field(rng: np.random.Generator, rule: Rule, near: float) -> str:
    """Name of a field that the rule does not read, as the prompt writes it.

    Args:
        rng: draws it.
        rule: whose field it is not.
        near: share of names that share words with the rule's field.
    """
    if rng.random() >= near:
        return rule.written(pick(rng, [f for f in words.FIELDS if f != rule.name]))
    parts = set(rule.name.split())
    kin = [f for f in words.FIELDS if f != rule.name and parts & set(f.split())]
    if kin and rng.random() < 0.4:
        return rule.written(pick(rng, kin))
    return rule.written(pick(rng, event_wordings.NEAR_FIELDS).format(f=rule.name))


def other_value(rng: np.random.Generator, rule: Rule, ruling: float) -> str:
    """A value for another field; ``ruling`` is the share of those that the rule itself speaks of."""
    if rng.random() < ruling:
        return pick(rng, (rule.trigger, rule.other))
    return pick(rng, words.VALUES[int(rng.integers(len(words.VALUES)))])
