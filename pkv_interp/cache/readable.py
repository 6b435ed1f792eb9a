"""Models whose text goes through one decoder from left to right: what a runner can be made of at all."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache, LinearAttentionCacheLayerMixin

from pkv_interp.cache.rope import ATTENTION
from pkv_interp.cache.state import refuse_training
from pkv_interp.errors import PkvError

FULL = "full_attention"


def check_decoder(model: PreTrainedModel) -> None:
    """Refuse encoder-decoders, and windows that no configuration names.

    Raises:
        PkvError: naming which, or that the model is in training mode.
    """
    what, config = type(model).__name__, model.config.get_text_config()
    if getattr(config, "is_encoder_decoder", False):
        raise PkvError(f"{what} is an encoder-decoder", "use a decoder-only language model")
    if getattr(config, "decoder_layers", None) is not None:
        raise PkvError(
            f"{what} is the decoder of an encoder-decoder", "use a language model that was made as one"
        )
    if "local" in (getattr(config, "attention_layers", None) or ()):
        raise PkvError(
            f"{what} keeps its local windows out of layer_types",
            "use a model whose windows its config lists",
        )
    refuse_training(model)


def layer_kinds(model: PreTrainedModel) -> tuple[str, ...]:
    """Per layer the kind of mask that it takes, as the config names it; all full where it names none.

    Raises:
        PkvError: a layer is of a kind that keeps no columns per token.
    """
    config: Any = model.config.get_text_config()
    listed = getattr(config, "layer_types", None) or [FULL] * int(config.num_hidden_layers)
    odd = sorted(set(listed) - set(ATTENTION))
    if odd:
        raise PkvError(
            f"{type(model).__name__} has layers of {', '.join(odd)}, which keep no key and value per token",
            "use a model whose layers are all full, sliding or chunked attention",
        )
    return tuple(listed)


def stateful_layers(model: PreTrainedModel) -> tuple[int, ...]:
    """The layers that keep a state of fixed size (recurrent, convolutional), as the model's cache has it.

    Raises:
        PkvError: the model has such a state and keeps it elsewhere.
    """
    stated = bool(getattr(model, "_is_stateful", False))
    found = states_of(model.config)
    if stated and not found:
        raise PkvError(
            f"{type(model).__name__} has a recurrent state, and keeps it in no cache of transformers",
            "use a model whose state lies in its cache",
        )
    return found


def states_of(config: PreTrainedConfig) -> tuple[int, ...]:
    """The layers that keep a state, as transformers makes a cache by a configuration."""
    try:
        layers = DynamicCache(config=config.get_text_config()).layers
    except (KeyError, ValueError, TypeError, AttributeError):
        return ()
    return tuple(i for i, layer in enumerate(layers) if isinstance(layer, LinearAttentionCacheLayerMixin))


def own_cache(model: PreTrainedModel) -> DynamicCache:
    """An empty cache of the kinds of layers that the model's config names."""
    return DynamicCache(config=model.config.get_text_config())
