"""Token ids as callers have them: lists, ranges, arrays, tensors of one prompt. One way to take them."""

from collections.abc import Mapping
from numbers import Integral
from typing import Any

from pkv_interp.errors import PkvError

#: A list or range of integers, or an array or tensor of them with one axis (or a batch of one).
TokenIds = Any


def as_ids(ids: TokenIds, vocab_size: int | None = None) -> tuple[int, ...]:
    """The ids as plain integers.

    Args:
        ids: a sequence of integers, or an array or tensor of shape [T] or [1, T].
        vocab_size: of the model; None where it is not known yet.

    Raises:
        PkvError: text, what a tokenizer returns as a whole, several prompts, numbers that are no integers,
            or an id outside the vocabulary.
    """
    if isinstance(ids, str | bytes):
        raise PkvError("text was given where token ids are expected", "tokenise it first")
    if isinstance(ids, Mapping) or hasattr(ids, "input_ids"):
        raise PkvError(
            "a tokenizer's whole output was given where token ids are expected", "give its input_ids"
        )
    # Tensors and arrays as lists; what else has neither an order nor a length is refused below.
    listed: Any = ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(listed, list):
        try:
            listed = list(listed)
        except TypeError as error:
            raise PkvError(
                f"{type(ids).__name__} was given where token ids are expected", "give a list of integers"
            ) from error
    if len(listed) == 1 and isinstance(listed[0], list | tuple):
        listed = list(listed[0])
    out = tuple(_one(token) for token in listed)
    if vocab_size is not None:
        for token in out:
            if not 0 <= token < vocab_size:
                raise PkvError(f"token id {token} is out of range", f"use 0 to {vocab_size - 1}")
    return out


def _one(token: Any) -> int:
    """One id; numpy's integers and tensors of one integer are integers as well, truth values are not."""
    value = token.item() if hasattr(token, "item") and getattr(token, "ndim", 1) == 0 else token
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, list | tuple) or hasattr(value, "shape"):
        raise PkvError("several prompts were given where one is expected", "give the ids of one prompt, [T]")
    raise PkvError(f"{value!r} is no token id", "give integers")
