"""The two actions as single tokens; where one is none, why, and words that are."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from pkv_interp.errors import PkvError, short
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt
from pkv_interp.prompts.special import encode

_OFFERED = 3


def checked_actions(
    prompt: Prompt, actions: Sequence[str], tokenizer: Any, known: Sequence[str]
) -> tuple[int, int]:
    """Token ids of both actions after the prompt.

    Args:
        prompt: what they are written after.
        actions: two words.
        tokenizer: a fast tokenizer.
        known: words to suggest, as far as they are one token there.

    Raises:
        PkvError: one is missing or no single token, or both are one; the line says how a word is split and
            offers others.
    """
    for number, action in zip(("first", "second"), actions, strict=True):
        if not action.strip():
            raise PkvError(f"the {number} action is missing", "name the word that each value calls for")
    words = [action.strip() for action in actions]
    for word in words:
        split = _pieces(prompt, word, tokenizer)
        if len(split) != 1:
            told = " ".join(short(piece) for piece in split)
            single = [one for one in known if len(_pieces(prompt, one, tokenizer)) == 1 and one not in words]
            offered = get_close_matches(word, single, n=_OFFERED, cutoff=0.4) or single[:_OFFERED]
            hint = f"use a word of one token, for example {', '.join(offered)}" if offered else ""
            raise PkvError(
                f"the action '{word}' is {len(split)} tokens here ({told}), and a decision is read from one",
                hint or "use a shorter word",
            )
    return action_ids(prompt, words, tokenizer)


def _pieces(prompt: Prompt, word: str, tokenizer: Any) -> list[str]:
    """The tokens that a word is after the prompt, those that take in the prompt's end included."""
    blank = "" if prompt.text[-1:].isspace() else " "
    text = f"{prompt.text}{blank}{word}"
    _, offsets = encode(text, tokenizer, prefix=False)
    return [text[first:last] for first, last in offsets if last > len(prompt.text)]
