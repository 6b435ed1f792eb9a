"""What the metadata of a GGUF file says of the architecture, held against the model that is made of it.

The reader of transformers takes over a part of the keys and leaves the rest out in silence. Here a key is
applied, found to be what the model does anyway, or the file is refused by the key's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.models.spec import FULL, SLIDING

#: Key of the file, without the architecture's name: attributes of configurations that hold the same, of which
#: the first that a configuration has counts. A file's 0 is a configuration's None.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "context_length": ("max_position_embeddings",),
    "embedding_length": ("hidden_size",),
    "block_count": ("num_hidden_layers",),
    "feed_forward_length": ("intermediate_size",),
    "vocab_size": ("vocab_size",),
    "attention.head_count": ("num_attention_heads",),
    "attention.head_count_kv": ("num_key_value_heads",),
    "attention.layer_norm_rms_epsilon": ("rms_norm_eps",),
    "attention.layer_norm_epsilon": ("norm_epsilon", "layer_norm_eps"),
    "attention.sliding_window": ("sliding_window",),
    "sliding_window": ("sliding_window",),
    "attn_logit_softcapping": ("attn_logit_softcapping",),
    "final_logit_softcapping": ("final_logit_softcapping",),
    "logit_scale": ("logit_scale",),
    "residual_scale": ("residual_multiplier",),
    "embedding_scale": ("embedding_multiplier",),
    "expert_count": ("num_experts", "num_local_experts"),
    "expert_used_count": ("num_experts_per_tok",),
    "expert_shared_feed_forward_length": ("shared_expert_intermediate_size",),
    "expert_weights_norm": ("norm_topk_prob",),
}
#: Keys with one value that every model read here has.
_ONLY: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "attention.clamp_kqv": (0, 0.0),
    "attention.max_alibi_bias": (0, 0.0),
    "attention.value_residual_mix_lora_rank": (0,),
    "use_parallel_residual": (False,),
    "expert_weights_scale": (0.0, 1.0),
    "expert_shared_count": (0,),
    "expert_gating_func": (1,),  # softmax
    "nextn_predict_layers": (0,),
    "leading_dense_block_count": (0,),
    "router_logit_softcapping": (0.0,),
}
#: Keys that say nothing about a forward. The data layout is undone by the reader of transformers.
_COSMETIC = frozenset({"tensor_data_layout", "rope.scaling.finetuned", "pooling_type"})
_HEAD_DIMS = ("key_length", "value_length", "key_length_swa", "value_length_swa")
HINT = "use the safetensors checkpoint that the file was made from"
ROPE_SCALING = "rope.scaling."
_PATTERN = "attention.sliding_window_pattern"


def architecture_keys(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of the architecture's own namespace, without its name."""
    prefix = f"{metadata['general.architecture']}."
    return {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}


def settle(config: Any, keys: Mapping[str, Any], file: str) -> None:
    """Apply what the reader of transformers leaves out to a configuration, and refuse what cannot be.

    Args:
        config: of the model, changed in place before the model is made.
        keys: as ``architecture_keys`` gives them; those of rotary scaling are settled elsewhere.
        file: for the message.

    Raises:
        PkvError: naming the first key that is unknown or that the architecture cannot follow.
    """
    if "attention.key_length" in keys and hasattr(config, "head_dim"):
        config.head_dim = int(keys["attention.key_length"])
    _settle_scale(config)
    pattern = keys.get(_PATTERN)
    if pattern is not None and not _unused_window(config) and getattr(config, "layer_types", None):
        config.layer_types = [SLIDING if windowed else FULL for windowed in _windows(pattern, config)]
    for key in sorted(keys):
        value = _single(keys[key], key, file)
        if key in _ATTRIBUTES and not same(value, _held(config, key)):
            _apply(config, key, value, file)
    for key in sorted(keys):
        check_key(config, key, _single(keys[key], key, file), file)


def check_key(config: Any, key: str, value: Any, file: str) -> None:
    """Refuse a key whose value is not what the model does.

    Args:
        config: of the model.
        key: without the architecture's name.
        value: of the key, one number.
        file: for the message.

    Raises:
        PkvError: the key is unknown, or the model does something else.
    """
    if key in _COSMETIC or key.startswith(ROPE_SCALING) or key == "rope.scale_linear":
        return
    name = key.removeprefix("attention.")
    if key in _ONLY:
        if value not in _ONLY[key]:
            raise _refused(file, key, value, "the model that transformers makes of it has no such thing")
        return
    if key in _ATTRIBUTES:
        held = _held(config, key)
    elif name in _HEAD_DIMS:
        held = _head_dim(config)
    elif key in ("rope.dimension_count", "rope.dimension_count_swa"):
        held = int(_head_dim(config) * float(rope_of_kind(config, FULL).get("partial_rotary_factor", 1)))
    elif key == "rope.freq_base":
        held = rope_of_kind(config, FULL).get("rope_theta")
    elif key == "rope.freq_base_swa":
        held = rope_of_kind(config, SLIDING).get("rope_theta")
    elif key == "attention.scale":
        scalar = float(getattr(config, "query_pre_attn_scalar", None) or _head_dim(config))
        held = scalar**-0.5 if value else value
    elif key == "expert_feed_forward_length":
        held = getattr(config, "moe_intermediate_size", None) or config.intermediate_size
    elif key == _PATTERN:
        kinds = getattr(config, "layer_types", None) or [FULL] * config.num_hidden_layers
        held = value if _windows(value, config) == [kind == SLIDING for kind in kinds] else kinds
    else:
        raise _refused(file, key, value, "it is unknown here, and would be left out in silence")
    if not same(value, held):
        raise _refused(file, key, value, f"the model that transformers makes of it has {held}")


def rope_of_kind(config: Any, kind: str) -> dict[str, Any]:
    """Rotary parameters of layers of a kind; of all of them where kinds do not differ."""
    told: Any = config.rope_parameters or {}
    return told.get(kind, told)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal as far as float32 tells; 0 and None both mean that there is none."""
    if not one or not other:
        return not one and not other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-6)
    return one == other


def _apply(config: Any, key: str, value: Any, file: str) -> None:
    name = next((name for name in _ATTRIBUTES[key] if hasattr(config, name)), None)
    if name is None:
        if same(value, 1.0) and key.endswith("_scale"):
            return
        raise _refused(file, key, value, f"{type(config).__name__} has no such setting")
    if name == "sliding_window" and _unused_window(config):
        raise _refused(file, key, value, f"{type(config).__name__} has no layers with a window")
    setattr(config, name, value if value or isinstance(value, bool) else None)


def _held(config: Any, key: str) -> Any:
    for name in _ATTRIBUTES[key]:
        if hasattr(config, name):
            return getattr(config, name)
    return 1.0 if key.endswith("_scale") else None


def _unused_window(config: Any) -> bool:
    kinds = getattr(config, "layer_types", None)
    return kinds is not None and SLIDING not in kinds


def _settle_scale(config: Any) -> None:
    """Gemma's scale of attention scores follows from the size of the model; no key holds it."""
    if hasattr(config, "query_pre_attn_scalar"):
        largest = config.num_hidden_layers == {"gemma2": 46, "gemma3_text": 62}.get(config.model_type)
        by_heads = config.hidden_size // config.num_attention_heads
        config.query_pre_attn_scalar = by_heads if largest else config.head_dim


def _head_dim(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _windows(pattern: Any, config: Any) -> list[bool]:
    """Which layers have a window: one flag a layer, or the length of a period whose last layer has none."""
    if isinstance(pattern, Sequence):
        return [bool(flag) for flag in pattern]
    return [(i + 1) % int(pattern) != 0 for i in range(config.num_hidden_layers)]


def _single(value: Any, key: str, file: str) -> Any:
    if not isinstance(value, list) or key == _PATTERN:
        return value
    if len(set(value)) != 1:
        raise _refused(file, key, value[:4], "layers that differ cannot be made of it")
    return value[0]


def _refused(file: str, key: str, value: Any, why: str) -> PkvError:
    return PkvError(f"{file} says {key} = {value}, and {why}", HINT)
