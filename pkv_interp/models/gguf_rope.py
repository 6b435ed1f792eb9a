"""Rotary scaling of a GGUF file, which the reader of transformers leaves out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_metadata import HINT, ROPE_SCALING, rope_of_kind, same

#: Tensors that hold factors of rotary frequencies and no weights.
FACTORS = "rope_freqs.weight"
SHORT, LONG = "rope_factors_short.weight", "rope_factors_long.weight"
ROPE_TENSORS = (FACTORS, SHORT, LONG)
#: Lengths that Llama 3's scaling may have been trained from.
_LENGTHS = tuple(1 << power for power in range(10, 21))
_YARN = {"yarn_beta_fast": "beta_fast", "yarn_beta_slow": "beta_slow"}
_KNOWN = frozenset(
    {"type", "factor", "original_context_length", "attn_factor", "finetuned", "yarn_attn_factor", *_YARN}
)
#: Keys of scaling with the one value that is followed here.
_ONLY: dict[str, tuple[float, ...]] = {
    "yarn_ext_factor": (1.0, -1.0),
    "yarn_log_multiplier": (0.0,),
    "alpha": (0.0,),
}


def settle_rope(config: Any, keys: Mapping[str, Any], tensors: Mapping[str, np.ndarray], file: str) -> None:
    """Put a file's rotary base and scaling into a configuration.

    Args:
        config: of the model, changed in place before the model is made.
        keys: of the architecture, without its name.
        tensors: those of ``ROPE_TENSORS`` that the file has.
        file: for the message.

    Raises:
        PkvError: naming the key or tensor that cannot be followed.
    """
    told = {k.removeprefix(ROPE_SCALING): v for k, v in keys.items() if k.startswith(ROPE_SCALING)}
    full = rope_of_kind(config, "full_attention")
    if "rope.freq_base" in keys:
        full["rope_theta"] = float(keys["rope.freq_base"])
    if "rope.freq_base_swa" in keys and "sliding_attention" in (config.rope_parameters or {}):
        config.rope_parameters["sliding_attention"]["rope_theta"] = float(keys["rope.freq_base_swa"])
    for name in ("rope_type", "type", "factor", "beta_fast", "beta_slow", "attention_factor"):
        full.pop(name, None)
    full["rope_type"] = "default"
    _check_known(told, file)
    if "rope.scale_linear" in keys:
        told = {"type": "linear", "factor": keys["rope.scale_linear"]} | told
    if FACTORS in tensors:
        _check_alone(config, full, told, tensors, file)
        _llama3(config, full, tensors[FACTORS], file)
    elif SHORT in tensors or LONG in tensors:
        _longrope(config, full, told, tensors, file)
    else:
        _scaled(config, full, told, file)


def _check_alone(
    config: Any, full: dict[str, Any], told: Mapping[str, Any], tensors: Mapping[str, np.ndarray], file: str
) -> None:
    """Refuse another rule beside factors: llama.cpp turns by both, which no rule of transformers does."""
    trial = dict(full)
    _scaled(config, trial, told, file)
    if trial["rope_type"] != "default":
        name = "type" if "type" in told else "factor"
        raise _refused(file, ROPE_SCALING + name, f"{told[name]} beside {FACTORS}")
    for name in (SHORT, LONG):
        if name in tensors:
            raise _refused(file, name, f"factors by length beside {FACTORS}")


def _check_known(told: Mapping[str, Any], file: str) -> None:
    """Refuse a key of scaling that is unknown, whatever rule the others make."""
    for name, value in told.items():
        if name not in _KNOWN and not (name in _ONLY and _number(value) in _ONLY[name]):
            raise _refused(file, ROPE_SCALING + name, value)


def _number(value: Any) -> float:
    """A value as a number, NaN where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _scaled(config: Any, full: dict[str, Any], told: Mapping[str, Any], file: str) -> None:
    factor = float(told.get("factor", 0) or 1.0)
    # As llama.cpp has it, a factor without a type is linear.
    kind = str(told.get("type", "linear"))
    loudness = float(told.get("attn_factor", 0) or 1.0) * float(told.get("yarn_attn_factor", 0) or 1.0)
    if kind not in ("none", "linear", "yarn"):
        raise _refused(file, f"{ROPE_SCALING}type", kind)
    if kind != "yarn" and loudness != 1.0:
        raise _refused(file, f"{ROPE_SCALING}attn_factor", loudness)
    if kind == "none" or (same(factor, 1.0) and kind == "linear"):
        return
    full |= {"rope_type": kind, "factor": factor}
    if kind == "yarn":
        length = told.get("original_context_length") or config.max_position_embeddings
        full["original_max_position_embeddings"] = int(length)
        full["attention_factor"] = loudness * (0.1 * math.log(factor) + 1.0 if factor > 1.0 else 1.0)
        full |= {ours: float(told[theirs]) for theirs, ours in _YARN.items() if told.get(theirs)}


def _llama3(config: Any, full: dict[str, Any], factors: np.ndarray, file: str) -> None:
    """Factors that Llama 3's rule gives are written as that rule; no other rule can hold them."""
    plain = _frequencies(config, full)
    for length in _LENGTHS:
        trial = full | {
            "rope_type": "llama3",
            "factor": float(factors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": length,
        }
        found = plain / _frequencies(config, trial)
        if found.shape == factors.shape and np.allclose(found, factors, rtol=1e-3):
            full |= trial
            return
    raise _refused(file, FACTORS, f"{len(factors)} factors, the largest {float(factors.max()):.4g}")


def _frequencies(config: Any, parameters: Mapping[str, Any]) -> np.ndarray:
    """Inverse frequencies of a rule, on the configuration itself, which is left as it was."""
    held = config.rope_parameters
    config.rope_parameters = dict(parameters)
    try:
        if parameters["rope_type"] == "default":
            dim = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
            dim = int(dim * parameters.get("partial_rotary_factor", 1.0))
            return parameters["rope_theta"] ** -(np.arange(0, dim, 2, dtype=np.float64) / dim)
        return ROPE_INIT_FUNCTIONS[parameters["rope_type"]](config, None)[0].double().numpy()
    finally:
        config.rope_parameters = held


def _longrope(
    config: Any, full: dict[str, Any], told: Mapping[str, Any], tensors: Mapping[str, np.ndarray], file: str
) -> None:
    both = SHORT in tensors and LONG in tensors
    if not both or not told.get("original_context_length") or config.rope_parameters is not full:
        raise _refused(file, SHORT if SHORT in tensors else LONG, "factors by length")
    # A factor would scale all lengths besides.
    only = {"type": ("longrope", "none"), "factor": (0.0, 1.0)}
    free = ("original_context_length", "attn_factor", "finetuned")
    for name, value in told.items():
        if name not in free and value not in only.get(name, ()):
            raise _refused(file, ROPE_SCALING + name, value)
    length = int(told["original_context_length"])
    full |= {
        "rope_type": "longrope",
        "short_factor": tensors[SHORT].astype(float).tolist(),
        "long_factor": tensors[LONG].astype(float).tolist(),
        "original_max_position_embeddings": length,
        "attention_factor": float(told.get("attn_factor", 0) or 1.0),
    }
    config.original_max_position_embeddings = length


def _refused(file: str, name: str, value: Any) -> PkvError:
    return PkvError(f"{file} scales rotary positions by {name} = {value}, which is not followed here", HINT)
