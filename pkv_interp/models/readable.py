"""What reads prompts: a model with its tokenizer, whether or not the engine reads it."""

from typing import Protocol

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.models.catalogue import ModelConfig


class Readable(Protocol):
    """A loaded model with its tokenizer, whether or not the engine reads it."""

    @property
    def model(self) -> PreTrainedModel:
        """The model."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        ...

    @property
    def config(self) -> ModelConfig:
        """What was asked for."""
        ...
