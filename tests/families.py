"""The table of tiny models that every generic test runs over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import LoadedModel, Opened, assemble, place
from pkv_interp.models.tiny import FAMILIES, SLIDING_FAMILIES, tiny_model

__all__ = ["EAGER_ONLY", "FAMILIES", "SLIDING_FAMILIES", "ids_of", "tiny", "tiny_loaded"]

#: Families whose attention has no sdpa form (softcapped scores, sinks).
EAGER_ONLY = ("gemma2", "gpt-oss")


@cache
def tiny(
    family: str, *, seed: int = 0, window: int | None = None, attention: str | None = None
) -> LoadedModel:
    """A tiny random model of ``family`` on the CPU in float32, built once per set of arguments.

    Tests must leave it as it was. A ``window`` is given to the families that have one and ignored for others.
    """
    config = load_catalogue_entry(f"tiny-{family}", device="cpu", seed=seed)
    model, tokenizer = tiny_model(
        family, seed, window=window if family in SLIDING_FAMILIES else None, attention=attention
    )
    return assemble(Opened(model, tokenizer), config, place(config))


def tiny_loaded(
    family: str, attention: str | None = None, window: int | None = None, seed: int = 0
) -> LoadedModel:
    """``tiny`` with the attention second."""
    return tiny(family, seed=seed, window=window, attention=attention)


def ids_of(
    loaded: LoadedModel, length: int, seed: int, base: Sequence[int] | None = None, start: int = 0
) -> list[int]:
    """``length`` random word ids; with ``base``, its ids before ``start`` and fresh ones from there on."""
    generator = torch.Generator().manual_seed(seed)
    low = 300  # past the special tokens and single bytes
    fresh = torch.randint(low, loaded.spec.vocab_size, (length,), generator=generator).tolist()
    return fresh if base is None else [*base[:start], *fresh[start:]]
