"""Readout: the two actions as single tokens in the context of the decision."""

from collections.abc import Sequence
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt


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
    bos = bool(tokenizer.bos_token) and prompt.text.startswith(tokenizer.bos_token)
    for action in actions:
        blank = "" if prompt.text[-1:].isspace() or action[:1].isspace() else " "
        ids = list(tokenizer(f"{prompt.text}{blank}{action}", add_special_tokens=not bos)["input_ids"])
        extra = ids[len(prompt.ids) : len(prompt.ids) + 1]
        written = ids[len(prompt.ids) :]
        if len(written) == 2 and written[-1] == tokenizer.eos_token_id:
            written = written[:1]
        if tuple(ids[: len(prompt.ids)]) != prompt.ids or len(written) != 1:
            raise PkvError(
                f"the action '{action}' is not one token after '{prompt.tokens[-1]}'",
                "end the prompt without a blank" if prompt.text.endswith(" ") else hint,
            )
        found.extend(extra)
    if found[0] == found[1]:
        raise PkvError(
            f"the actions {actions[0]} and {actions[1]} share their token",
            "choose actions that start differently",
        )
    return found[0], found[1]
