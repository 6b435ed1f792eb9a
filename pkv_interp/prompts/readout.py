"""Readout: the two actions as single tokens in the context of the decision."""

from collections.abc import Sequence
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.prompts.special import encode


def action_ids(prompt: Prompt, actions: Sequence[str], tokenizer: Any) -> tuple[int, int]:
    """Token ids of both actions as the model would write them after the prompt.

    The prompt is re-tokenised with the action appended, so that the id is the one in context (space-prefixed
    where the tokenizer wants it), not that of the bare word. A blank is put before an action unless the
    prompt ends in white space or the action starts with it.

    Raises:
        PkvError: an action is not one token there, or both start alike.
    """
    found: list[int] = []
    hint = "choose a shorter action word for this tokenizer"
    # What the tokenizer put before the text covers none of its characters.
    added = next((i for i, token in enumerate(prompt.tokens) if token), 0)
    before = prompt.ids[added:]
    for action in actions:
        blank = "" if prompt.text[-1:].isspace() or action[:1].isspace() else " "
        ids, _ = encode(f"{prompt.text}{blank}{action}", tokenizer, prefix=False)
        if tuple(ids[:-1]) != before:
            raise PkvError(
                f"the action '{action}' is not one token after '{prompt.tokens[-1]}'",
                "end the prompt without a blank" if prompt.text.endswith(" ") else hint,
            )
        found.append(ids[-1])
    if found[0] == found[1]:
        raise PkvError(
            f"the actions {actions[0]} and {actions[1]} share their token",
            "choose actions that start differently",
        )
    return found[0], found[1]
