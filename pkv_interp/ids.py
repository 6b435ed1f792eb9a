"""Token ids as callers have them: lists, ranges, arrays, tensors of one prompt. One way to take them."""

from collections.abc import Mapping
from typing import Any

from pkv_interp.errors import PkvError, short
from pkv_interp.indices import index_below, integer

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
            if not 0 <= token < vocab_size:  # told apart first: prompts are long
                index_below(token, vocab_size, "token id")
    return out


def _one(token: Any) -> int:
    number = integer(token)
    if number is not None:
        return number
    if isinstance(token, list | tuple) or getattr(token, "ndim", 0):
        raise PkvError("several prompts were given where one is expected", "give the ids of one prompt, [T]")
    raise PkvError(f"{short(token)} is no token id", "give integers")
