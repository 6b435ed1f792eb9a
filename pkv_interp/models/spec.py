"""What the other rooms may assume about a loaded model: its shape, its windows and its module names."""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError

FULL = "full_attention"
SLIDING = "sliding_attention"

_TOP_MODULES = ("model.embed_tokens", "model.layers", "model.norm", "lm_head")
_LAYER_MODULES = ("self_attn", "self_attn.o_proj", "mlp")


@dataclass(frozen=True)
class ModelSpec:
    """The shape of one model. Queries and outputs are counted by head, keys and values by KV head.

    Attributes:
        n_layers: number of blocks.
        n_heads: query heads per block.
        n_kv_heads: key and value heads per block; ``n_heads`` is a multiple of it.
        head_dim: width of one head.
        d_model: width of the residual stream.
        vocab_size: rows of the unembedding.
        layer_types: per layer "full_attention" or "sliding_attention".
        windows: per layer the number of positions a token sees, itself included, or None for all of them.
        softcap: bound of the tanh on the final logits, or None.
        attention_softcap: bound of the tanh on the attention scores, or None.
        sinks: True where each head has a learned attention sink.
        tied: True where embedding and unembedding are one tensor.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_model: int
    vocab_size: int
    layer_types: tuple[str, ...]
    windows: tuple[int | None, ...]
    softcap: float | None
    attention_softcap: float | None
    sinks: bool
    tied: bool

    @property
    def group_size(self) -> int:
        """Query heads that share one KV head."""
        return self.n_heads // self.n_kv_heads


class ModelInfo(BaseModel):
    """What a record says of the model that was run.

    ``weight_sha256`` is taken over the state dict after an adapter was merged, ``identity`` over all that a
    forward reads (see ``models.identity``). ``quantised`` names the format
    the weights come from (None for unquantised); ``quantised_in_memory`` is True only while they are still
    held that way, and then claims on weights are to be refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    source: str
    hub_id: str | None
    revision: str | None
    weight_sha256: str
    identity: str
    tokenizer_sha256: str
    adapter_sha256: str | None
    dtype: str
    device: str
    attention: str
    random_weights: bool
    quantised: str | None
    quantised_in_memory: bool
    n_parameters: int

    def require_plain_weights(self, claim: str) -> None:
        """Refuse ``claim`` (a noun phrase) on weights that are held quantised in memory.

        Raises:
            PkvError: when the weights are held quantised.
        """
        if self.quantised_in_memory:
            raise PkvError(
                f"{claim} reads weights, and {self.name} holds them as {self.quantised}",
                "load it with model.quantise_4bit=false",
            )


def _part(root: nn.Module, path: str, what: str) -> Any:
    try:
        return attrgetter(path)(root)
    except AttributeError:
        raise PkvError(
            f"{what} has no module '{path}'",
            "use a decoder laid out like Llama (Llama, Mistral, Qwen3, Gemma 2, Gemma 3, Phi-3, GPT-OSS)",
        ) from None


def _layer_types(config: Any, n_layers: int, what: str) -> tuple[str, ...]:
    # Mistral and Phi-3 have no layer_types: a window in the config holds for every layer.
    listed = getattr(config, "layer_types", None)
    if listed is None:
        listed = [SLIDING if getattr(config, "sliding_window", None) else FULL] * n_layers
    unknown = sorted(set(listed) - {FULL, SLIDING})
    if unknown or len(listed) != n_layers:
        raise PkvError(
            f"{what} names {len(listed)} layer types for {n_layers} layers, unknown among them: {unknown}",
            "use a model whose layers are all full or sliding attention",
        )
    return tuple(listed)


def spec_of(model: PreTrainedModel) -> ModelSpec:
    """Read the shape of a causal language model and check its module names.

    Args:
        model: a text model; multimodal wrappers are unwrapped by ``pkv_interp.models.load``.

    Raises:
        PkvError: when a module that the engine reads is missing, or a layer is neither full nor sliding.
    """
    what = type(model).__name__
    for path in _TOP_MODULES:
        _part(model, path, what)
    config: Any = model.config
    layers = list(_part(model, "model.layers", what))
    if not layers:
        raise PkvError(f"{what} has no layers", "use a model with at least one block")
    for index, layer in enumerate(layers):
        for path in _LAYER_MODULES:
            _part(layer, path, f"layer {index} of {what}")

    n_heads = int(config.num_attention_heads)
    n_kv_heads = int(getattr(config, "num_key_value_heads", None) or n_heads)
    attention: Any = layers[0].self_attn
    head_dim = int(
        getattr(attention, "head_dim", None)
        or getattr(config, "head_dim", None)
        or config.hidden_size // n_heads
    )
    if n_heads % n_kv_heads:
        raise PkvError(
            f"{what} has {n_heads} heads over {n_kv_heads} KV heads", "use a model that groups evenly"
        )
    in_features = getattr(attention.o_proj, "in_features", n_heads * head_dim)
    if in_features != n_heads * head_dim:
        raise PkvError(
            f"o_proj of {what} reads {in_features} values, not {n_heads} heads of {head_dim}",
            "use a model whose o_proj reads the heads side by side",
        )

    types = _layer_types(config, len(layers), what)
    window = getattr(config, "sliding_window", None)
    if SLIDING in types and not window:
        raise PkvError(
            f"{what} has sliding layers and no sliding_window", "set sliding_window in its config.json"
        )
    embedding = model.get_input_embeddings()
    head: Any = model.lm_head
    return ModelSpec(
        n_layers=len(layers),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        d_model=int(config.hidden_size),
        vocab_size=int(head.out_features),
        layer_types=types,
        windows=tuple(int(window) if kind == SLIDING and window else None for kind in types),
        softcap=_number(getattr(config, "final_logit_softcapping", None)),
        attention_softcap=_number(getattr(config, "attn_logit_softcapping", None)),
        sinks=isinstance(getattr(attention, "sinks", None), torch.Tensor),
        tied=embedding is not None and head.weight is embedding.weight,
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
