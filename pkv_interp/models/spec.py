"""What the other rooms may assume about a loaded model: its shape, its windows and its module names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import nn
from transformers import PreTrainedModel

from pkv_interp.cache.measured import Columns, measured_columns
from pkv_interp.cache.readable import stateful_layers
from pkv_interp.cache.window import Chunks
from pkv_interp.errors import PkvError
from pkv_interp.models.anatomy import Anatomy, read_anatomy
from pkv_interp.models.recording import Attended, record

FULL = "full_attention"
SLIDING = "sliding_attention"

#: What is left where the engine cannot trace a model.
UNTRACED = "use the editing and composing API (EditableContext, Runner)"
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
        windows: per layer the number of positions a token sees, itself included, or None for all of them, as
            the model applies them (a config may state a window that it does not).
        sinks: True where each head has a learned attention sink.
        tied: True where embedding and unembedding are one tensor.
        anatomy: how its blocks and its last layer are built.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_model: int
    vocab_size: int
    windows: tuple[int | None, ...]
    sinks: bool
    tied: bool
    anatomy: Anatomy

    @property
    def layer_types(self) -> tuple[str, ...]:
        """Per layer "full_attention" or "sliding_attention"."""
        return tuple(FULL if window is None else SLIDING for window in self.windows)

    @property
    def softcap(self) -> float | None:
        """Bound of the tanh on the final logits, or None."""
        return self.anatomy.softcap

    @property
    def attention_softcap(self) -> float | None:
        """Bound of the tanh on the attention scores, or None; the same in all layers."""
        return self.anatomy.blocks[0].softcap

    @property
    def group_size(self) -> int:
        """Query heads that share one KV head."""
        return self.n_heads // self.n_kv_heads


class ModelInfo(BaseModel):
    """What a record says of the model that was run.

    ``weight_sha256`` is taken over the state dict after an adapter was merged, ``identity`` over all that a
    forward reads (see ``models.identity``). ``quantised`` names the format
    the weights come from (None for unquantised); ``quantised_in_memory`` is True only while they are still
    held that way, and then claims on weights are to be refused. ``check`` holds the numbers of the load
    check, the largest relative error of each item (``pkv_interp.models.load_check``).
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
    check: dict[str, float] = {}

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


def _refuse_compressed(model: PreTrainedModel) -> None:
    """Refuse multi-head latent attention (MLA), whose heads have no keys and values of their own to patch.

    Raises:
        PkvError: the config states a rank of compressed keys and values.
    """
    if getattr(model.config.get_text_config(), "kv_lora_rank", None):
        raise PkvError(
            f"{type(model).__name__} compresses its keys and values (multi-head latent attention, MLA), "
            "and the engine patches them by head",
            UNTRACED,
        )


def _part(root: nn.Module, path: str, what: str) -> Any:
    try:
        return attrgetter(path)(root)
    except AttributeError:
        raise PkvError(
            f"{what} has no module '{path}'",
            "use a decoder laid out like Llama (Llama, Mistral, Qwen3, Gemma 2, Gemma 3, Phi-3, GPT-OSS)",
        ) from None


def _check_layer_types(config: Any, n_layers: int, what: str) -> None:
    listed = getattr(config, "layer_types", None)
    if listed is None:
        return
    unknown = sorted(set(listed) - {FULL, SLIDING})
    if unknown or len(listed) != n_layers:
        raise PkvError(
            f"{what} names {len(listed)} layer types for {n_layers} layers, unknown among them: {unknown}",
            "use a model whose layers are all full or sliding attention",
        )
    if SLIDING in listed and not getattr(config, "sliding_window", None):
        raise PkvError(
            f"{what} has sliding layers and no sliding_window", "set sliding_window in its config.json"
        )


def spec_of(model: PreTrainedModel) -> ModelSpec:
    """Read the shape of a causal language model, off its config and off forwards of a few tokens.

    Args:
        model: a text model; multimodal wrappers are unwrapped by ``pkv_interp.models.load``.

    Raises:
        PkvError: when a module that the engine reads is missing, a layer is neither full nor sliding, layers
            share or compress their caches, or the config says other shapes than the forward shows.
    """
    what = type(model).__name__
    if stateful_layers(model):
        raise PkvError(f"{what} has a recurrent state, and the engine patches keys and values", UNTRACED)
    _refuse_compressed(model)
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
    _check_layer_types(config, len(layers), what)
    columns = measured_columns(model)
    windows = tuple(window for window in columns.windows if not isinstance(window, Chunks))
    if len(windows) < len(columns.windows):
        raise PkvError(
            f"layers of {what} see chunks, and the engine's masks are of windows",
            f"{UNTRACED}, which runs it as it is",
        )
    recording = record(model)
    attended = [block.attended for block in recording.blocks if block.attended is not None]
    _check_shapes(attended, columns, (n_heads, n_kv_heads, head_dim), what)
    embedding = model.get_input_embeddings()
    head: Any = model.lm_head
    return ModelSpec(
        n_layers=len(layers),
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        head_dim=head_dim,
        d_model=int(config.hidden_size),
        vocab_size=int(head.out_features),
        windows=windows,
        sinks=attended[0].sinks is not None,
        tied=embedding is not None and head.weight is embedding.weight,
        anatomy=read_anatomy(model, recording),
    )


def _check_shapes(
    attended: Sequence[Attended], columns: Columns, stated: tuple[int, int, int], what: str
) -> None:
    """Refuse a config whose heads are not those of the forward."""
    kept = sorted({shape for held in columns.held for shape in (held.keys, held.values)})
    if len(kept) != 1:
        told = ", ".join(f"{heads} heads of {width}" for heads, width in kept)
        raise PkvError(
            f"keys and values of {what} have several shapes ({told}), and the engine reads one", UNTRACED
        )
    found = {(a.query.shape[0], a.key.shape[0], a.query.shape[2]) for a in attended}
    found |= {(stated[0], *kept[0])}
    if found != {stated}:
        heads, kv_heads, width = next(iter(found - {stated}))
        raise PkvError(
            f"the config of {what} states {stated[0]} heads over {stated[1]} KV heads of {stated[2]}, "
            f"and its forward shows {heads} over {kv_heads} of {width}",
            "correct its config.json",
        )
    if len({(a.softcap, a.sinks is None) for a in attended}) != 1:
        raise PkvError(
            f"layers of {what} differ in softcap or sinks", "use a model whose layers attend in one way"
        )
