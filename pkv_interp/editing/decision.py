"""The decision that a context leads to, read between options by one token of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from pkv_interp.errors import PkvError, short
from pkv_interp.finite import finite, finite_logits
from pkv_interp.prompts.rendering import Renderer
from pkv_interp.prompts.special import checked_text


@dataclass(frozen=True, eq=False)
class Decision:
    """What the model would write next.

    Attributes:
        choice: the option of largest logit; on a tie, the first of them.
        margin: first option's logit minus the second's.
        probabilities: of each option, among all tokens of the vocabulary.
        logits: Float[vocab], float32.
        top: the likeliest tokens of all, as text with their probability.
        ids: the token that each option is read by.
        value: of the field that was read back before it; None where none was.
    """

    choice: str
    margin: float
    probabilities: Mapping[str, float]
    logits: Float[Tensor, " vocab"] = field(repr=False)
    top: tuple[tuple[str, float], ...]
    ids: tuple[int, ...] = ()
    value: str | None = None

    @property
    def likeliest_option(self) -> str | None:
        """The option that begins with the likeliest token of all; None where another text does."""
        options, likeliest = tuple(self.probabilities), int(self.logits.argmax())
        if likeliest in self.ids:
            return options[self.ids.index(likeliest)]
        word = self.top[0][0].strip()  # an option with another blank before it
        return word if word in options else None


def listed(options: Iterable[str]) -> tuple[str, ...]:
    """The options in their order.

    Raises:
        PkvError: one text for all, something without an order, or an option that is no word.
    """
    if isinstance(options, str):
        raise PkvError(f"the options '{options}' are one text", "give a list of words")
    if isinstance(options, Set | Mapping) or not isinstance(options, Iterable):
        raise PkvError(
            f"the options {short(options)} are of type {type(options).__name__}", "give a list of words"
        )
    found = tuple(options)
    for option in found:
        if not checked_text(option, "an option").strip():
            raise PkvError(f"the option {short(option)} has no word in it", "give words")
    return found


def option_ids(renderer: Renderer, suffix: str, options: Sequence[str]) -> tuple[int, ...]:
    """The token of each option as the model would write it after ``suffix``.

    The suffix is tokenised again with the option after it (after a blank, unless the suffix ends in one or
    the notation says otherwise), so that the id is the one in context.

    Args:
        renderer: tokenises as the context was tokenised.
        suffix: what stands between the context and the decision.
        options: words, at least two.

    Raises:
        PkvError: one text for all, fewer than two options, one that is not a single token there (where the
            notation wants one), or two that share theirs.
    """
    options = listed(options)
    if len(options) < 2:
        raise PkvError(f"a decision between {len(options)} options was asked for", "give two or more")
    before = renderer.after(suffix)
    found: dict[int, str] = {}
    for option in options:
        ids = renderer.after(f"{suffix}{renderer.notation.written(option, suffix)}")
        if renderer.notation.first_token:
            ids = ids[: len(before) + 1]
        if ids[:-1] != before:
            raise PkvError(
                f"the option '{option}' is not one token after '{suffix.strip()[-20:]}'",
                "choose a shorter word for this tokenizer",
            )
        if ids[-1] in found:
            raise PkvError(
                f"the options '{found[ids[-1]]}' and '{option}' share their token", "give different options"
            )
        found[ids[-1]] = option
    return tuple(found)


def read_decision(
    renderer: Renderer, logits: Float[Tensor, " vocab"], options: Sequence[str], ids: Sequence[int]
) -> Decision:
    """The decision between ``options``, whose tokens are ``ids``.

    Args:
        renderer: gives tokens as text.
        logits: over the vocabulary at the decision.
        options: words, at least two.
        ids: their tokens.

    Raises:
        PkvError: logits are not finite, or the model rules an option out.
    """
    chances = finite_logits(logits).softmax(-1)
    scores = finite(logits[list(ids)], "the options' logits")
    best = torch.topk(chances, 5)
    return Decision(
        choice=options[int(scores.argmax())],
        margin=float(scores[0] - scores[1]),
        probabilities={option: float(chances[token]) for option, token in zip(options, ids, strict=True)},
        logits=logits,
        top=tuple(
            (renderer.tokenizer.decode([token]), chance)
            for token, chance in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ),
        ids=tuple(ids),
    )
