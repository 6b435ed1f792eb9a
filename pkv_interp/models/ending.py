"""Tokens that end a text."""

from typing import Any


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """End tokens of the model's generation settings and of the tokenizer."""
    named = getattr(model.generation_config, "eos_token_id", None)
    found = list(named) if isinstance(named, list | tuple) else [named]
    found.append(tokenizer.eos_token_id)
    return frozenset(int(token) for token in found if token is not None)
