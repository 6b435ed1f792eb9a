"""What a vision-language model answers: the answer's margin before the next best option, and its rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.picture_runner import with_pictures
from pkv_interp.composing.chunk import first_ids
from pkv_interp.errors import PkvError
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.drawing import picture
from pkv_interp.pictures.items import Item


@dataclass(frozen=True)
class PictureAnswer:
    """The answer to one question.

    Attributes:
        answer: the option that the model would write.
        right: that option is the right one.
        top_token_right: the right answer is the likeliest token of all.
        margin: of the right answer before the next best option, in logits.
    """

    answer: str
    right: bool
    top_token_right: bool
    margin: float


def option_tokens(tokenizer: Any, options: Sequence[str]) -> list[int]:
    """The first token of each option, as it is written after a text.

    Raises:
        PkvError: two options begin with the same token.
    """
    found = [int(tokenizer(f" {word}", add_special_tokens=False)["input_ids"][0]) for word in options]
    if len(set(found)) < len(found):
        raise PkvError(f"two of {', '.join(options)} begin with the same token", "use another tokenizer")
    return found


def read_answer(tokenizer: Any, logits: Float[Tensor, " vocab"], item: Item) -> PictureAnswer:
    """What logits at an item's decision say.

    Args:
        tokenizer: of the model.
        logits: after the last token of the question.
        item: what was asked.
    """
    tokens = option_tokens(tokenizer, item.options)
    scores = logits[tokens]
    gold = item.options.index(item.answer)
    others = torch.cat([scores[:gold], scores[gold + 1 :]])
    best = int(scores.argmax())
    return PictureAnswer(
        item.options[best],
        best == gold,
        int(logits.argmax()) == tokens[gold],
        float(scores[gold] - others.max()),
    )


def showing(loaded: LoadedVision, images: Sequence[Image.Image]) -> Runner:
    """A runner for prompts that show these pictures, in order."""
    return with_pictures(Runner.of(loaded.model), loaded.look(images))


def answer(loaded: LoadedVision, item: Item, images: Sequence[Image.Image] | None = None) -> PictureAnswer:
    """The answer to a whole prompt.

    Args:
        loaded: the model.
        item: what is asked.
        images: to show in place of the item's own pictures.
    """
    shown = [picture(scene) for scene in item.scenes] if images is None else images
    ids = first_ids(loaded.tokenizer, item.text)
    return read_answer(loaded.tokenizer, showing(loaded, shown).prefill(ids).logits, item)
