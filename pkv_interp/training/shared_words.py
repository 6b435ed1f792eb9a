"""Words that an evaluation family shares with the training vocabulary of the gate adapter.

Fields, values and actions of the packaged families are disjoint from the training's as whole entries
(`pkv_interp.training.probes.seen_in_training`). By word they are not: "order status" and "member status"
have one in common.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pkv_interp.tasks import Family
from pkv_interp.training import vocabulary

#: What a word may end in and still count as another form of one: "share" and "shared".
ENDINGS: tuple[str, ...] = ("s", "es", "d", "ed", "ing")


@dataclass(frozen=True)
class SharedWords:
    """Words of a family that stand in the training vocabulary too, in lower case and sorted.

    Attributes:
        field, values, actions: those of what the rule speaks of.
        text: those of the role and the request.
    """

    field: tuple[str, ...]
    values: tuple[str, ...]
    actions: tuple[str, ...]
    text: tuple[str, ...]

    @property
    def of_the_rule(self) -> tuple[str, ...]:
        """Words of field, values and actions together, each once."""
        return tuple(sorted({*self.field, *self.values, *self.actions}))


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Words of two characters or more in lower case; slots in braces are left out.

    A single letter is left out because the value "A" is no article.
    """
    return frozenset(
        word for text in texts for word in re.findall(r"[a-z0-9]{2,}", re.sub(r"\{\w+\}", "", text).lower())
    )


#: Words of all fields, values and actions that training examples are drawn from.
TRAINED: frozenset[str] = words_of(
    (*vocabulary.FIELDS, *vocabulary.ACTIONS, *(value for pool in vocabulary.VALUES for value in pool))
)


def shared_words(family: Family, *, inflected: bool = False) -> SharedWords:
    """Words that a family shares with the training's fields, values and actions.

    Args:
        family: an evaluation family.
        inflected: another form of a trained word counts as well, by `ENDINGS`.
    """

    def known(word: str) -> bool:
        if word in TRAINED or not inflected:
            return word in TRAINED
        longer = any(word + ending in TRAINED for ending in ENDINGS)
        return longer or any(
            word.endswith(ending) and word.removesuffix(ending) in TRAINED for ending in ENDINGS
        )

    def shared(*texts: str) -> tuple[str, ...]:
        return tuple(sorted(word for word in words_of(texts) if known(word)))

    return SharedWords(
        field=shared(family.field),
        values=shared(*family.values),
        actions=shared(*family.actions),
        text=shared(family.role, family.request),
    )
