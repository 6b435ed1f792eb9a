"""How transformers states a rotation: rope types, their inverse frequencies, and models that have none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pkv_interp.errors import PkvError

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


def rotary_of(module: Any, config: Any, layer_type: str, model: PreTrainedModel) -> Rotary:
    """Frequencies of one layer type, from its own buffers where the model keeps one set per type."""
    kind: Any = getattr(module, "rope_type", "default")
    per_type = isinstance(kind, dict)
    prefix = f"{layer_type}_" if per_type else ""
    if per_type:
        kind = kind.get(layer_type)
    # The plain buffer of dynamic and longrope modules follows the last forward; the original does not.
    short: Any = getattr(module, f"{prefix}original_inv_freq", None)
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


@dataclass(frozen=True)
class Boundary:
    """A context length at which a model's rotary frequencies change.

    Attributes:
        length: longest context with the first frequencies.
        settles: past it one other set holds (longrope); otherwise every length has its own (dynamic).
    """

    length: int
    settles: bool

    def same(self, one: int, other: int) -> bool:
        """Whether contexts of these lengths have the same frequencies."""
        past = [n > self.length for n in (one, other)]
        return one == other or not any(past) or (all(past) and self.settles)


def boundary_of(model: PreTrainedModel) -> Boundary | None:
    """Where the model's rotary frequencies change with the length of the context; None where they do not."""
    config: Any = model.config.get_text_config()
    parameters: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    stated = [parameters, *(p for p in parameters.values() if isinstance(p, dict))]
    for name, module in model.named_modules():
        kinds: Any = getattr(module, "rope_type", None) if name.endswith("rotary_emb") else None
        for kind in kinds.values() if isinstance(kinds, dict) else (kinds,):
            if kind == "longrope":
                original = next(o for p in stated if (o := p.get("original_max_position_embeddings")))
                return Boundary(int(original), True)
            if kind == "dynamic":
                return Boundary(int(getattr(module, "original_max_seq_len")), False)  # noqa: B009
    return None


def has_learned_positions(model: PreTrainedModel) -> bool:
    """Whether an embedding of the position is added to that of the token."""
    return any(
        isinstance(module, nn.Embedding) and name.rsplit(".", 1)[-1] in _LEARNED
        for name, module in model.named_modules()
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


def limit_of(config: Any, rotaries: Iterable[Rotary]) -> int:
    """Positions served: what the config states, or what its scaling stretches that to."""
    limit = int(config.max_position_embeddings)
    parameters: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    for one in (parameters, *(p for p in parameters.values() if isinstance(p, dict))):
        original = one.get("original_max_position_embeddings")
        if original and one.get("factor"):
            limit = max(limit, int(original * one["factor"]))
    return min([limit, *(r.boundary for r in rotaries if r.boundary is not None and r.long is None)])


def refuse_without_rotation(model: PreTrainedModel) -> None:
    """Refuse a model whose keys cannot be moved by a rotation, and say why.

    Raises:
        PkvError: recurrent state, ALiBi or learned positions.
    """
    config: Any = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
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
