"""Loading without the engine: any model that runs over its own cache, for what only reads prompts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.cache.layer_cache import CacheForm, cache_form
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.identity import identity_of, tokenizer_sha256, weight_sha256
from pkv_interp.models.load import info_of, open_model, place, prepare
from pkv_interp.models.spec import ModelInfo


@dataclass(frozen=True)
class LoadedText:
    """A model that is ready to read prompts, of whatever architecture.

    Attributes:
        model: the causal language model, on its device.
        tokenizer: a fast tokenizer whose chat template, if it has one, takes a system message.
        form: what its layers keep of a text, held against forwards.
        info: what a record says of it.
        config: what was asked for.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    form: CacheForm
    info: ModelInfo
    config: ModelConfig


def load_text(config: ModelConfig) -> LoadedText:
    """Load a model as its catalogue entry says, engine or no engine.

    Raises:
        PkvError: as ``load``; an architecture whose cache does not stand for the tokens before it.
    """
    placement = place(config)
    if config.adapter is not None:
        find_adapter(config.adapter)
    ready = prepare(open_model(config, placement), config, placement)
    form = cache_form(ready.model)
    return LoadedText(ready.model, ready.tokenizer, form, info_of(ready, config, {}), config)


def info_of_table(
    config: ModelConfig, models: Iterable[PreTrainedModel], tokenizer: PreTrainedTokenizerBase
) -> ModelInfo:
    """What a record says of a whole table of tiny random models.

    Args:
        config: the table's entry.
        models: in order.
        tokenizer: of all of them.
    """
    weights, identity = hashlib.sha256(), hashlib.sha256()
    n_parameters, attention = 0, set[str]()
    for model in models:
        weights.update(weight_sha256(model).encode())
        identity.update(identity_of(model).encode())
        n_parameters += sum(parameter.numel() for parameter in model.parameters())
        attention.add(str(model.config._attn_implementation))
    return ModelInfo(
        name=config.name,
        source=config.source,
        hub_id=None,
        revision=None,
        weight_sha256=weights.hexdigest(),
        identity=identity.hexdigest(),
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        adapter_sha256=None,
        dtype="float32",
        device="cpu",
        attention=" and ".join(sorted(attention)),
        random_weights=True,
        quantised=None,
        quantised_in_memory=False,
        n_parameters=n_parameters,
    )
