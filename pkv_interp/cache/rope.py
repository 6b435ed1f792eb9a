"""How transformers states a rotation: rope types, their inverse frequencies, and models that have none."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pkv_interp.cache.forward import FOLLOWING, rope_kinds, text_decoder
from pkv_interp.cache.regime import Boundary
from pkv_interp.errors import PkvError

#: Kinds of layers, as configs name them, that keep columns per token.
ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")
_LEARNED = ("wpe", "embed_positions", "position_embeddings", "position_embedding")
_KNOWN = ("default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional")


@dataclass(frozen=True, eq=False)
class Rotary:
    """The rotation of one kind of layer.

    Attributes:
        kind: the rope type, as transformers names it.
        short: inverse frequencies Float[r] in radians per position, up to ``boundary`` tokens of context.
        long: those past the boundary (longrope), or None.
        boundary: context length up to which ``short`` holds; None where the length does not matter.
    """

    kind: str
    short: Float[Tensor, " r"]
    long: Float[Tensor, " r"] | None
    boundary: int | None

    def frequencies(self, source: int, target: int) -> Float[Tensor, " r"]:
        """Inverse frequencies that hold at both context lengths.

        Raises:
            PkvError: the keys were made with other frequencies than the target length asks for.
        """
        past = [self.boundary is not None and length > self.boundary for length in (source, target)]
        if not any(past) or (all(past) and self.long is not None):
            return self.short if self.long is None or not all(past) else self.long
        if source == target:
            return self.short  # nothing is turned
        raise PkvError(
            f"{self.kind} rope has other frequencies at {target} tokens than at {source}: "
            f"its keys change at {self.boundary}",
            "compute the chunk at the length it is used at, or keep the context shorter",
        )


def rotary_of(module: Any, config: Any, layer_type: str, model: PreTrainedModel) -> Rotary | None:
    """Frequencies of one layer type, from its own buffers where the model keeps one set per type.

    None where the configuration gives the type no rotation.
    """
    kind: Any = getattr(module, "rope_type", "default")
    per_type = isinstance(kind, dict)
    prefix = f"{layer_type}_" if per_type else ""
    if per_type:
        kind = kind.get(layer_type)
        if kind is None and layer_type not in rotated_types(config, [layer_type]):
            return None
    # The plain buffer of dynamic and longrope modules follows the last forward; the original does not.
    short: Any = getattr(module, f"{prefix}original_inv_freq", None) if kind in FOLLOWING else None
    short = getattr(module, f"{prefix}inv_freq", None) if short is None else short
    if kind not in _KNOWN or not isinstance(short, Tensor):
        raise refusal(model, f"has rope type '{kind}' without frequencies that are recognised")
    parameters = config.rope_parameters[layer_type] if per_type else config.rope_parameters
    if kind == "longrope":
        boundary = int(parameters["original_max_position_embeddings"])
        options = {"layer_type": layer_type} if per_type else {}
        long, _ = ROPE_INIT_FUNCTIONS[kind](config, short.device, seq_len=boundary + 1, **options)
        return Rotary(kind, short, long, boundary)
    boundary = int(module.original_max_seq_len) if kind == "dynamic" else None
    return Rotary(kind, short, None, boundary)


def rotated_types(config: Any, layer_types: Iterable[str]) -> list[str]:
    """The layer types that have a rotation, sorted: a configuration can give one of them None."""
    stated = getattr(config, "rope_parameters", None) or {}
    return sorted({kind for kind in layer_types if stated.get(kind, stated) is not None})


def scaled_every(config: Any) -> tuple[int, int] | None:
    """Positions after each multiple of which queries are scaled anew; None for none.

    With it, what the position 0 counts as: Ministral 3 counts from 0, Llama 4 from 1 and in its layers
    without a rotation alone.
    """
    stated = getattr(config, "rope_parameters", None) or {}
    for one in (stated, *(p for p in stated.values() if isinstance(p, dict))):
        if one.get("llama_4_scaling_beta"):
            return int(one["original_max_position_embeddings"]), 0
    if scales_by_count(config):
        return int(config.floor_scale), 1
    return None


def scales_by_count(config: Any) -> bool:
    """Whether queries are scaled by the number of columns before them, whatever position they are given."""
    rotated = getattr(config, "no_rope_layers", None) or [1]
    return bool(getattr(config, "attn_temperature_tuning", False)) and not all(rotated)


def boundary_of(model: PreTrainedModel) -> Boundary | None:
    """Where the model's rotary frequencies change with the length of the context; None where they do not.

    Raises:
        PkvError: they change at more than one length.
    """
    config: Any = model.config.get_text_config()
    found: set[Boundary] = set()
    for module in text_decoder(model).modules():
        for prefix, kind in rope_kinds(module).items():
            if kind == "longrope":
                stated = (
                    config.rope_parameters[prefix.removesuffix("_")] if prefix else config.rope_parameters
                )
                found.add(Boundary(int(stated["original_max_position_embeddings"]), True))
            elif kind == "dynamic":
                found.add(Boundary(int(getattr(module, "original_max_seq_len")), False))  # noqa: B009
    lengths = {boundary.length for boundary in found}
    if len(lengths) > 1:
        raise PkvError(
            f"the rotary frequencies of {type(model).__name__} change at several lengths, {sorted(lengths)}",
            "use a model whose frequencies change at one length, or at none",
        )
    return Boundary(lengths.pop(), all(boundary.settles for boundary in found)) if found else None


def has_learned_positions(model: PreTrainedModel) -> bool:
    """Whether an embedding of the position is added to that of the token; a vision tower's is not text's."""
    return any(
        isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in _LEARNED
        for name, module in text_decoder(model).named_modules()
    )


def has_alibi(model: PreTrainedModel) -> bool:
    """Whether distances are added to the attention scores."""
    config: Any = model.config.get_text_config()
    attention = getattr(config, "attn_config", None)
    return bool(
        getattr(config, "alibi", False)
        or getattr(attention, "alibi", False)
        or hasattr(model.base_model, "build_alibi_tensor")
    )


def served_by(model: PreTrainedModel) -> int | None:
    """Positions served: what the config states, or what its scaling stretches that to.

    None without a limit: distances that are added to the scores (ALiBi), and dynamic NTK, which makes its
    frequencies for any length.
    """
    config: Any = model.config.get_text_config()
    stated = getattr(config, "max_position_embeddings", None)
    if stated is None or has_alibi(model):
        return None
    limits, parameters = [int(stated)], getattr(config, "rope_parameters", None) or {}
    for one in (parameters, *(p for p in parameters.values() if isinstance(p, dict))):
        kind, factor = one.get("rope_type"), one.get("factor")
        if kind == "dynamic":
            return None
        original = int(stated) if kind == "linear" else one.get("original_max_position_embeddings")
        if original and factor:
            limits.append(int(original * factor))
    return max(limits)


def limit_of(model: PreTrainedModel, rotaries: Iterable[Rotary]) -> int:
    """Positions to which keys can be moved: those served, and none past where dynamic NTK changes them."""
    served = served_by(model)
    ends = [r.boundary for r in rotaries if r.boundary is not None and r.long is None]
    return min(ends + ([sys.maxsize] if served is None else [served]))


def refuse_without_rotation(model: PreTrainedModel) -> None:
    """Refuse a model whose keys cannot be moved by a rotation, and say why.

    Raises:
        PkvError: recurrent state, ALiBi or learned positions.
    """
    config: Any = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - set(ATTENTION)
    if getattr(model, "_is_stateful", False) or kinds:
        raise refusal(model, "carries a recurrent state, which has no columns to move")
    if has_alibi(model):
        raise refusal(model, "has ALiBi: distances are added to the scores, keys are not rotated")
    if has_learned_positions(model):
        raise refusal(model, "has learned positions, which are mixed into every key and value")


def refusal(model: PreTrainedModel, why: str) -> PkvError:
    """The error for a model whose keys cannot be moved; ``why`` continues "it ..."."""
    return PkvError(
        f"keys of {type(model).__name__} cannot be repositioned: it {why}",
        "prefill the chunk in place, or use a model with rotary positions",
    )
