"""What a chunk's keys and values depend on besides its text: weights, rotation, tokenizer."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.models.hashing import weight_sha256

_SEEN: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()


def weights_of(model: PreTrainedModel) -> str:
    """``weight_sha256``, computed again only when a weight was replaced or written to in place.

    A write through ``.data`` leaves no trace in a tensor's version, so some of its numbers are looked at.
    """
    weights = list(model.parameters())
    state = (tuple((p.data_ptr(), p._version, p.dtype) for p in weights), _glance(weights))
    known = _SEEN.get(model)
    if known is None or known[0] != state:
        known = _SEEN[model] = (state, weight_sha256(model))
    return known[1]


def _glance(weights: Sequence[Tensor]) -> tuple[float, ...]:
    """First, middle and last number of each tensor, read from each device at once."""
    seen: dict[torch.device, list[Tensor]] = {}
    for one in weights:
        flat = one.detach().reshape(-1)
        seen.setdefault(flat.device, []).extend(flat[at].double() for at in (0, flat.numel() // 2, -1))
    return tuple(number for numbers in seen.values() for number in torch.stack(numbers).tolist())


def rope_of(model: PreTrainedModel) -> str:
    """The rotary configuration as one line of JSON; the weights do not hold it."""
    config: Any = model.config.get_text_config()
    names = ("rope_parameters", "max_position_embeddings", "head_dim", "layer_types", "sliding_window")
    return json.dumps({name: getattr(config, name, None) for name in names}, sort_keys=True, default=str)


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of a fast tokenizer's whole definition."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    told = json.dumps(tokenizer.get_vocab(), sort_keys=True) if backend is None else backend.to_str()
    return hashlib.sha256(told.encode()).hexdigest()


def identity_of(model: PreTrainedModel) -> str:
    """One name for weights, their dtype and the rotation: caches of equal identity may be joined."""
    return hashlib.sha256(f"{weights_of(model)} {model.dtype} {rope_of(model)}".encode()).hexdigest()
