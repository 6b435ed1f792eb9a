"""What a tokenizer puts before a text, measured, and put there once."""

from __future__ import annotations

from typing import Any

from pkv_interp.errors import PkvError, short

_SAMPLE = "a"


def checked_text(text: object, what: str = "the text") -> str:
    """The text, if it is one that can be tokenised.

    Raises:
        PkvError: no text, or half of a character (a lone surrogate).
    """
    if not isinstance(text, str):
        raise PkvError(f"{what} is {short(text)}, of type {type(text).__name__}", "give text")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise PkvError(f"{what} {short(text)} has half of a character, a lone surrogate", "leave it out")
    return text


def encode(text: str, tokenizer: Any, *, prefix: bool) -> tuple[list[int], list[tuple[int, int]]]:
    """Ids of a text and the characters that each of them covers, none for what the tokenizer puts before it.

    Args:
        text: as the model is to see it.
        tokenizer: a fast Hugging Face tokenizer.
        prefix: put the tokenizer's own prefix before the text, or what the text does not begin with already.
            A chat template writes all of it itself, so rendered messages never get one: their ids are those
            of ``apply_chat_template(tokenize=True)``. What a tokenizer puts after a text is left out.
    """
    made = tokenizer(checked_text(text), add_special_tokens=False, return_offsets_mapping=True)
    ids, offsets = list(made["input_ids"]), [(int(a), int(b)) for a, b in made["offset_mapping"]]
    added = missing_prefix(ids, tokenizer) if prefix else []
    return [*added, *ids], [*((0, 0) for _ in added), *offsets]


def missing_prefix(ids: list[int], tokenizer: Any) -> list[int]:
    """The tokenizer's prefix up to the part of it that the ids begin with."""
    whole = prefix_of(tokenizer)
    written = next(n for n in range(len(whole), -1, -1) if ids[:n] == whole[len(whole) - n :])
    return whole[: len(whole) - written]


def following(text: str, tokenizer: Any) -> list[int]:
    """Ids of a text that stands after another one, tokenised on its own.

    No BOS, and no blank that a tokenizer puts before a text: one character before it is tokenised too and
    left out, where the tokenizer keeps that character apart.
    """
    checked_text(text)
    for anchor in ("\n", ".", "a") if tokenizer.is_fast else ():
        made = tokenizer(anchor + text, add_special_tokens=False, return_offsets_mapping=True)
        own = sum(stop <= 1 for _, stop in made["offset_mapping"])
        if all(start >= 1 for start, _ in made["offset_mapping"][own:]):
            return list(made["input_ids"][own:])
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def prefix_of(tokenizer: Any) -> list[int]:
    """The tokens that a tokenizer puts before every text: none, a BOS, or several (``[gMASK]<sop>``)."""
    bare = list(tokenizer(_SAMPLE, add_special_tokens=False)["input_ids"])
    full = list(tokenizer(_SAMPLE)["input_ids"])
    at = next((i for i in range(len(full)) if full[i : i + len(bare)] == bare), 0)
    return full[:at]
