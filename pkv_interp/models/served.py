"""A model that a server runs and nobody here sees: what a record can say of it."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.identity import tokenizer_sha256
from pkv_interp.models.spec import ModelInfo

#: In place of a hash: the weights are the server's, and were not looked at.
UNSEEN = "unseen"


@dataclass(frozen=True)
class ServedModel:
    """A model at a url.

    Attributes:
        config: what was asked for, by which the tokenizer is known.
        info: what a record says of it.
    """

    config: ModelConfig
    info: ModelInfo


def served_model(
    config: ModelConfig, tokenizer: PreTrainedTokenizerBase, *, engine: str, dtype: str
) -> ServedModel:
    """What is known of a model that a server runs.

    Args:
        config: of the model that it is said to be.
        tokenizer: of that model; prompts are sent as its ids.
        engine: of the server.
        dtype: in which the server is said to compute.
    """
    info = ModelInfo(
        name=config.name,
        source=config.source,
        hub_id=config.hub_id,
        revision=config.revision,
        weight_sha256=UNSEEN,
        identity=UNSEEN,
        tokenizer_sha256=tokenizer_sha256(tokenizer),
        adapter_sha256=None,
        dtype=dtype,
        device="server",
        attention=engine,
        random_weights=False,
        quantised=None,
        quantised_in_memory=False,
        n_parameters=0,
    )
    return ServedModel(config, info)
