"""What a chunk's keys and values depend on besides its text: weights, rotation, tokenizer."""

from __future__ import annotations

import hashlib
import json
import weakref
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.models.hashing import weight_sha256

_SEEN: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()


def weights_of(model: PreTrainedModel) -> str:
    """``weight_sha256``, taken again only when a weight was replaced or written to in place.

    A write through ``.data`` leaves no trace in a tensor's version, so some of its numbers are looked at.
    """
    state = tuple((p.data_ptr(), p._version, p.dtype, *_glance(p)) for p in model.parameters())
    known = _SEEN.get(model)
    if known is None or known[0] != state:
        known = _SEEN[model] = (state, weight_sha256(model))
    return known[1]


def _glance(weights: Tensor) -> list[float]:
    """First, middle and last number of a tensor."""
    flat = weights.detach().reshape(-1)
    return [float(flat[at]) for at in sorted({0, flat.numel() // 2, flat.numel() - 1})]


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
