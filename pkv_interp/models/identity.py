"""What a loaded model is, in one place for caches, chunks and records."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.models.hashing import weight_sha256

#: Keys of a configuration that no forward reads. Whatever is not named here counts.
COSMETIC = frozenset(
    {
        "_name_or_path",
        "name_or_path",
        "architectures",
        "transformers_version",
        "use_cache",
        "dtype",  # kept apart: it is that of the weights
        "torch_dtype",
        "return_dict",
        "output_attentions",
        "output_hidden_states",
        "initializer_range",
        "id2label",
        "label2id",
        "problem_type",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "generation_config",
    }
)
#: Attributes of modules that are no part of what they compute, or that a forward itself changes.
_PASSING = frozenset(
    {
        "training",
        "name_or_path",
        "loss_type",
        "padding_idx",
        "gradient_checkpointing",
        "all_tied_weights_keys",
        "max_seq_len_cached",
        "is_loaded_in_4bit",
    }
)
#: Attributes that say which adapters act: those of peft's layers begin with an underscore.
_ADAPTERS = ("_disable_adapters", "_active_adapter")
#: Numbers of a tensor that stands for a setting, at most.
_FEW = 16
_ORIGINAL = "original_inv_freq"
_SAMPLES = 16
_SEEN: weakref.WeakKeyDictionary[nn.Module, tuple[object, str]] = weakref.WeakKeyDictionary()


def identity_of(model: PreTrainedModel) -> str:
    """One name for all that a cache depends on besides its tokens: caches of equal identity may be joined."""
    return _sha256(identity_parts(model))


def identity_parts(model: PreTrainedModel) -> dict[str, str]:
    """The parts of ``identity_of``, so that a refusal can name the one that differs."""
    return {
        "weights": weights_of(model),
        "rope": rope_of(model),
        "config": _sha256([config_of(model), modules_of(model)]),
        "dtype": str(model.dtype),
    }


def weights_of(model: PreTrainedModel) -> str:
    """``weight_sha256``, computed again only when a weight was replaced or written to in place.

    A write through ``.data`` leaves no trace in a tensor's version, so some of its numbers are looked at.
    """
    weights = [*model.parameters(), *_persistent_buffers(model)]
    state = (tuple((p.data_ptr(), p._version, p.dtype) for p in weights), _glance(weights))
    known = _SEEN.get(model)
    if known is None or known[0] != state:
        known = _SEEN[model] = (state, weight_sha256(model))
    return known[1]


def _persistent_buffers(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                yield buffer


def _glance(weights: Sequence[Tensor]) -> tuple[float, ...]:
    """Some numbers of each tensor, evenly spaced, read from each device at once."""
    seen: dict[torch.device, list[Tensor]] = {}
    for one in weights:
        flat = one.detach().reshape(-1)
        if flat.numel():
            step = max(1, (flat.numel() - 1) // (_SAMPLES - 1))
            seen.setdefault(flat.device, []).append(torch.cat((flat[::step], flat[-1:])).float())
    return tuple(number for numbers in seen.values() for number in torch.cat(numbers).tolist())


def rope_of(model: PreTrainedModel) -> str:
    """The rotary configuration as one line of JSON; the weights do not hold it."""
    config: Any = model.config.get_text_config()
    names = ("rope_parameters", "max_position_embeddings", "head_dim", "layer_types", "sliding_window")
    return json.dumps({name: getattr(config, name, None) for name in names}, sort_keys=True, default=str)


def config_of(model: PreTrainedModel) -> dict[str, Any]:
    """The text configuration without the keys in ``COSMETIC``."""
    config: Any = model.config.get_text_config()
    return {name: value for name, value in config.to_dict().items() if name not in COSMETIC}


def modules_of(model: nn.Module) -> dict[str, Any]:
    """What the modules themselves hold: classes, plain attributes, and buffers that are not saved.

    A forward reads these and not the configuration they were made from: an epsilon, a scale or a number of
    experts that is changed on a module changes every key and value.
    """
    out: dict[str, Any] = {}
    for name, module in model.named_modules():
        told: dict[str, Any] = {"class": type(module).__qualname__}
        for key, value in vars(module).items():
            passing = key in _PASSING or key.startswith("_") or key.endswith("max_seq_len_cached")
            plain = None if passing else _plain(value)
            # Where there is one rotation per layer type, a forward sets this and none reads it.
            unread = key == "attention_scaling" and isinstance(vars(module).get("rope_type"), Mapping)
            if plain is not None and not unread:
                told[key] = plain
        told |= {key: _plain(getattr(module, key)) for key in _ADAPTERS if hasattr(type(module), key)}
        told |= dict(_unsaved_buffers(module))
        out[name] = told
    return out


def _plain(value: Any) -> Any:
    """A value of plain types in one form, None for anything else."""
    if isinstance(value, bool | int | float | str | torch.dtype):
        return str(value)
    if isinstance(value, Tensor) and value.numel() <= _FEW and not value.is_meta:
        return [f"{number:.5g}" for number in value.detach().double().reshape(-1).tolist()]
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, list | tuple):
        parts = [_plain(inner) for inner in value]
        if any(part is None for part in parts):
            return None
        # Some modules keep the order of a set, which changes from process to process.
        return sorted(parts) if all(isinstance(inner, str) for inner in value) else parts
    return None


def _unsaved_buffers(module: nn.Module) -> Iterator[tuple[str, list[str]]]:
    """Buffers that no checkpoint holds (rotary frequencies), to five digits: devices differ in the last.

    Where frequencies follow the length of the last prompt, those that the model was made with are taken.
    """
    kinds = getattr(module, "rope_type", None)
    told = kinds.values() if isinstance(kinds, Mapping) else [kinds]
    moving = any(kind in ("dynamic", "longrope") for kind in told)
    for name in sorted(module._non_persistent_buffers_set):
        buffer = module._buffers.get(name)
        follows = name.endswith("inv_freq") and not name.endswith(_ORIGINAL)
        # Vectors only: masks and tables of positions can be as large as weights.
        if buffer is not None and buffer.ndim <= 1 and not (moving and follows):
            yield name, [f"{number:.5g}" for number in buffer.detach().double().reshape(-1).tolist()]


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of a fast tokenizer's whole definition; how the last call padded or cut is no part of it."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _sha256(tokenizer.get_vocab())
    told = json.loads(backend.to_str())
    return _sha256({name: part for name, part in told.items() if name not in ("padding", "truncation")})


def _sha256(document: Any) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, default=str).encode()).hexdigest()
