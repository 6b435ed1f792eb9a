"""The sizes of a model, counted on modules that hold no weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from pkv_interp.cache.readable import states_of
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig, no_single_model
from pkv_interp.models.quiet import quiet
from pkv_interp.models.skeleton import skeleton
from pkv_interp.planning.published import published


@dataclass(frozen=True)
class Shape:
    """The sizes that memory and multiply-adds follow from.

    Attributes:
        n_layers: number of blocks.
        n_heads: query heads per block.
        n_kv_heads: key and value heads per block.
        head_dim: width of one head.
        d_model: width of the residual stream.
        vocab_size: rows of the unembedding.
        windows: per layer the tokens that a token sees, as the config states them; None for all.
        mlp_width: widest vector inside a block's MLP that one token has.
        n_parameters: all of them, tied ones once.
        n_quantisable: those in matrices of the blocks, which 4-bit weights are made of.
        layer_macs: multiply-adds of one token in one block's matrices, the mean over blocks.
        mlp_macs: those of them in the MLP.
        head_macs: multiply-adds of one token's logits.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    head_dim: int
    d_model: int
    vocab_size: int
    windows: tuple[int | None, ...]
    mlp_width: int
    n_parameters: int
    n_quantisable: int
    layer_macs: float
    mlp_macs: float
    head_macs: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> Shape:
        """Count the sizes of a model, on whatever device it is.

        Raises:
            PkvError: its blocks are not where a decoder like Llama has them.
        """
        config: Any = model.config.get_text_config()
        core: Any = model
        try:
            blocks, head = list(core.model.layers), core.lm_head
        except AttributeError:
            what = type(model).__name__
            raise PkvError(f"{what} is not laid out like Llama", "plan another model") from None
        heads = int(config.num_attention_heads)
        kinds = getattr(config, "layer_types", None) or ["full_attention"] * len(blocks)
        window = getattr(config, "sliding_window", None)
        attention: Any = blocks[0].self_attn
        width = getattr(attention, "head_dim", None) or getattr(config, "head_dim", None)
        active = getattr(config, "num_experts_per_tok", None) or 1
        inner = getattr(config, "moe_intermediate_size", None) or getattr(config, "intermediate_size", None)
        matrices = _matrices(blocks, config)
        inside: list[Any] = [block.mlp for block in blocks]
        return cls(
            n_layers=len(blocks),
            n_heads=heads,
            n_kv_heads=int(getattr(config, "num_key_value_heads", None) or heads),
            head_dim=int(width or config.hidden_size // heads),
            d_model=int(config.hidden_size),
            vocab_size=int(config.vocab_size),
            windows=tuple(window if kind == "sliding_attention" else None for kind in kinds),
            mlp_width=int(inner or 4 * config.hidden_size) * active,
            n_parameters=sum(p.numel() for p in model.parameters()),
            n_quantisable=sum(p.numel() for p, _ in matrices),
            layer_macs=sum(p.numel() * used for p, used in matrices) / len(blocks),
            mlp_macs=sum(p.numel() * used for p, used in _matrices(inside, config)) / len(blocks),
            head_macs=head.weight.numel(),
        )


def _matrices(modules: list[Any], config: Any) -> list[tuple[nn.Parameter, float]]:
    return [(p, _used(p, config)) for module in modules for p in module.parameters() if p.ndim > 1]


def _used(parameter: nn.Parameter, config: Any) -> float:
    """The share of a matrix that one token is multiplied with: of stacked experts, those it is sent to."""
    experts = getattr(config, "num_experts", None) or getattr(config, "num_local_experts", None)
    if parameter.ndim != 3 or not experts or parameter.shape[0] != experts:
        return 1.0
    return (getattr(config, "num_experts_per_tok", None) or 1) / experts


def shape_of(model: ModelConfig) -> Shape:
    """The sizes of a catalogue entry; no weight is read or fetched.

    They are counted on modules on the meta device, made of the published configuration of models that are
    listed (``planning.published``), of the folder's config.json, or of the hub's.

    Raises:
        PkvError: nothing is listed and no configuration can be read; the line says why.
    """
    if model.source == "table":
        raise no_single_model(model.name)
    stated = published(model)
    if stated is None:
        made = skeleton(model)
        _refuse_untraced(made.config)
        return Shape.of(made)
    kind, sizes = str(stated["model_type"]), {k: v for k, v in stated.items() if k != "model_type"}
    with quiet(warnings=False), torch.device("meta"):
        config = AutoConfig.for_model(kind, **sizes)
        _refuse_untraced(config)
        return Shape.of(AutoModelForCausalLM.from_config(config, attn_implementation="eager"))


def _refuse_untraced(config: Any) -> None:
    """Refuse a model that the engine does not read: nothing of what is planned could be run on it.

    Raises:
        PkvError: it has a recurrent state, or latent keys and values.
    """
    latent = getattr(config.get_text_config(), "kv_lora_rank", None)
    if latent or states_of(config):
        what = "latent keys and values" if latent else "a recurrent state"
        raise PkvError(
            f"{config.model_type} has {what}, which the engine does not read: there is no plan of it",
            "use experiments.architectures, which reads prompts alone",
        )
