"""The tokenizer of a model without its weights, so that prompts are checked before a model loads."""

from __future__ import annotations

from typing import Any

from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.errors import PkvError
from pkv_interp.models import embedded
from pkv_interp.models.catalogue import ModelConfig, no_single_model
from pkv_interp.models.chat import accept_system_role
from pkv_interp.models.gguf_file import fetch_gguf
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.quiet import quiet
from pkv_interp.models.shipped import shipped_folder
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer
from pkv_interp.paths import expanded
from pkv_interp.pictures.words import picture_tokenizer


def prepared(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer as every experiment wants it: fast, with a padding token, taking a system message.

    Raises:
        PkvError: it is not a fast one, so that it cannot say where its tokens stand.
    """
    if not tokenizer.is_fast:
        raise PkvError(f"{name} has no fast tokenizer", "use a checkpoint with a tokenizer.json")
    accept_system_role(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, name: str) -> None:
    """Refuse a tokenizer that gives ids for which the model has no embedding.

    Special tokens past the end are let through: text models of multimodal families keep that of the image.

    Raises:
        PkvError: a token of ordinary text has no row.
    """
    embedding: Any = model.get_input_embeddings()
    rows = int(embedding.weight.shape[0])
    if len(tokenizer) <= rows:
        return
    special = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    beyond = sorted(i for i in tokenizer.get_vocab().values() if i >= rows and i not in special)
    if beyond:
        raise PkvError(
            f"the tokenizer of {name} has {len(beyond)} ids past the model's {rows} embeddings, "
            f"first {beyond[0]}",
            "use the tokenizer that belongs to the model",
        )


def load_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """The tokenizer that ``load(config)`` would give.

    Raises:
        PkvError: it cannot be read; the line says why.
    """
    if config.source == "table":
        raise no_single_model(config.name)
    if config.source == "tiny" and config.family == "pictures":
        return prepared(picture_tokenizer(), config.name)
    if config.source == "tiny":
        return prepared(tiny_tokenizer(str(config.family)), config.name)
    where, options = place_of(config)
    with told_as_pkv_error(where, config.revision), quiet():
        return prepared(AutoTokenizer.from_pretrained(where, **options), config.name)


def place_of(config: ModelConfig) -> tuple[str, dict[str, str]]:
    """Folder or repository of a tokenizer or configuration, and how to ask for it; not for tiny models."""
    match config.source:
        case "embedded":
            return str(embedded.embedded_directory(config.package or embedded.DEFAULT)), {}
        case "gguf":
            file = (
                expanded(config.path)
                if config.path is not None
                else fetch_gguf(str(config.hub_id), str(config.gguf_file), config.revision)[0]
            )
            return str(file.parent), {"gguf_file": file.name}
        case "local":
            return str(expanded(str(config.path))), {}
        case "shipped":
            return str(shipped_folder(str(config.path))), {}
        case _:
            revision = {"revision": config.revision} if config.revision is not None else {}
            return str(config.hub_id), revision
