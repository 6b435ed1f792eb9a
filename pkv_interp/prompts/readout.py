"""Readout: the two actions as single tokens in the context of the decision, and what may stand before it."""

from collections.abc import Sequence
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.prompts.special import encode


def action_ids(
    prompt: Prompt,
    actions: Sequence[str],
    tokenizer: Any,
    *,
    before: str | None = None,
    first_token: bool = False,
) -> tuple[int, int]:
    """Token ids of both actions as the model would write them after the prompt.

    The prompt is re-tokenised with the action appended, so that the id is the one in context (space-prefixed
    where the tokenizer wants it), not that of the bare word. A blank is put before an action unless the
    prompt ends in white space or the action starts with it.

    Args:
        prompt: what the actions are written after.
        actions: two of them.
        tokenizer: a fast Hugging Face tokenizer.
        before: what stands between prompt and action in place of that blank.
        first_token: an action's first token is read; otherwise the action must be one token.

    Raises:
        PkvError: an action is not one token there, its start joins the prompt's end in one token, or both
            actions start alike.
    """
    found: list[int] = []
    hint = "choose a shorter action word for this tokenizer"
    # What the tokenizer put before the text covers none of its characters.
    added = next((i for i, token in enumerate(prompt.tokens) if token), 0)
    known = prompt.ids[added:]
    for action in actions:
        blank = "" if prompt.text[-1:].isspace() or action[:1].isspace() else " "
        ids, _ = encode(
            f"{prompt.text}{blank if before is None else before}{action}", tokenizer, prefix=False
        )
        if first_token:
            del ids[len(known) + 1 :]
        if tuple(ids[:-1]) != known:
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


def read_back_cue(field: str, value: str | None = None, cue: str = "") -> str:
    """What opens an answer that states a field's value before the action.

    Args:
        field: its name.
        value: as it was read back; None: the cue after which it is read.
        cue: of the action, on the next line.
    """
    return f"{field}:" if value is None else f"{field}: {value}\n{cue}"
