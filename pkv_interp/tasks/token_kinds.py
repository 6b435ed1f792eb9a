"""Kinds of tokens, with line breaks and punctuation told apart from words."""

import re

from pkv_interp.prompts.segments import Prompt


def token_kinds(prompt: Prompt) -> tuple[str, ...]:
    """Per token its kind, with line breaks (``newline``) and bare punctuation (``delimiter``) told apart.

    Tokens of the chat template stay ``template``, whatever they are made of.
    """
    kinds = []
    for token, kind in zip(prompt.tokens, prompt.kinds, strict=True):
        if kind in ("template", "field"):
            kinds.append(kind)
        elif "\n" in token:
            kinds.append("newline")
        else:
            kinds.append(kind if re.search(r"\w", token) else "delimiter")
    return tuple(kinds)
