"""What every forward of this suite sees to: explicit positions, and a rotation that remembers nothing.

A model object can remember an earlier prompt. Dynamic NTK keeps the frequencies of the longest prompt seen;
vision models keep the offset of the last image, and add it to positions that they make themselves.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from transformers import PreTrainedModel

_ORIGINAL, _LONGEST = "original_inv_freq", "max_seq_len_cached"
#: Rope types whose module follows the length of the prompt.
FOLLOWING = ("dynamic", "longrope")
_ROTARY: weakref.WeakKeyDictionary[nn.Module, list[nn.Module]] = weakref.WeakKeyDictionary()
_TAKES: weakref.WeakKeyDictionary[nn.Module, bool] = weakref.WeakKeyDictionary()


def text_decoder(model: PreTrainedModel) -> nn.Module:
    """The part of a model that reads text: all of a language model, the language model of a vision model."""
    decoder = model.get_decoder()
    return decoder if isinstance(decoder, nn.Module) else model


def rope_kinds(module: nn.Module) -> dict[str, str]:
    """Rope types of a rotary module, by the prefix of its buffers; empty for any other module."""
    kinds: Any = getattr(module, "rope_type", None)
    if isinstance(kinds, dict):
        return {f"{layer_type}_": str(kind) for layer_type, kind in kinds.items()}
    return {} if kinds is None else {"": str(kinds)}


def reset_rotation(model: nn.Module) -> None:
    """Give the rotary modules the frequencies that they had when the model was loaded."""
    if model not in _ROTARY:
        _ROTARY[model] = [m for m in model.modules() if set(rope_kinds(m).values()) & set(FOLLOWING)]
    for module in _ROTARY[model]:
        for prefix, kind in rope_kinds(module).items():
            original = getattr(module, f"{prefix}{_ORIGINAL}", None)
            if kind not in FOLLOWING or not isinstance(original, Tensor):
                continue
            # A copy, as longrope writes into its buffer; and no inference tensor, which it could not.
            with torch.inference_mode(False):
                setattr(module, f"{prefix}inv_freq", original.clone())
            for name in (f"{prefix}{_LONGEST}", _LONGEST):
                if hasattr(module, name) and hasattr(module, "original_max_seq_len"):
                    setattr(module, name, module.original_max_seq_len)


@contextmanager
def fresh_rotation(model: nn.Module) -> Iterator[None]:
    """Forwards within rotate as those of a model that has seen no prompt, and leave nothing of theirs."""
    reset_rotation(model)
    try:
        yield
    finally:
        reset_rotation(model)


def at_positions(model: nn.Module, at: Int[Tensor, " n"], rows: int = 1) -> dict[str, Int[Tensor, "rows n"]]:
    """The keyword that tells a model its tokens' positions; none where it takes none (ALiBi).

    Vision models with an axis each for time, height and width put text at the same place on all three.

    Args:
        model: whose forward is called.
        at: position of each token.
        rows: number of prompts in the forward.
    """
    if model not in _TAKES:
        _TAKES[model] = "position_ids" in inspect.signature(model.forward).parameters
    return {"position_ids": at[None].expand(rows, -1)} if _TAKES[model] else {}


def first_positions(model: nn.Module, tokens: Int[Tensor, "rows n"]) -> dict[str, Int[Tensor, "rows n"]]:
    """``at_positions`` of whole prompts, from 0 on."""
    return at_positions(model, torch.arange(tokens.shape[1], device=tokens.device), tokens.shape[0])
