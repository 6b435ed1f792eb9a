"""The one loader: a ModelConfig in, a LoadedModel out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.errors import PkvError
from pkv_interp.models import embedded
from pkv_interp.models.adapter import find_adapter, merge_adapter
from pkv_interp.models.catalogue import ModelConfig, no_single_model
from pkv_interp.models.checkpoint import Placement, check_directory, read_checkpoint
from pkv_interp.models.gguf_file import check_gguf, fetch_gguf, quantisation_of, read_gguf
from pkv_interp.models.identity import identity_of, tokenizer_sha256, weights_of
from pkv_interp.models.kept_check import kept_check
from pkv_interp.models.leftovers import check_finite
from pkv_interp.models.load_check import LoadCheck
from pkv_interp.models.picture_model import new_picture_model
from pkv_interp.models.quantisation import held_packed
from pkv_interp.models.shipped import shipped_folder
from pkv_interp.models.spec import ModelInfo, ModelSpec, spec_of
from pkv_interp.models.tiny import tiny_model
from pkv_interp.models.tokenizer import check_vocabulary, prepared
from pkv_interp.paths import expanded
from pkv_interp.pictures.words import picture_tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run: in eval mode, gradients of the weights off, adapter merged.

    Attributes:
        model: the causal language model, on its device.
        tokenizer: a fast tokenizer whose chat template, if it has one, takes a system message.
        spec: shape, windows and how it is built, held against its own forward.
        info: what a record says of it.
        config: what was asked for.
        check: the numbers of that.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    info: ModelInfo
    config: ModelConfig
    check: LoadCheck

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.model.device


@dataclass(frozen=True)
class Opened:
    """A model as its source gave it: on no particular device, adapter not merged, not yet checked."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    revision: str | None = None
    quantised: str | None = None


def load(config: ModelConfig) -> LoadedModel:
    """Load a model as its catalogue entry says.

    Raises:
        PkvError: for anything a user can get wrong: an unreachable or gated hub, a missing path, a file that
            is not GGUF, pickled weights, an architecture the engine cannot read, a device that is not there.
    """
    placement = place(config)
    if config.adapter is not None:
        find_adapter(config.adapter)  # before minutes are spent on weights
    return assemble(open_model(config, placement), config, placement)


def load_adapted(config: ModelConfig, adapter: Path | None) -> LoadedModel:
    """The model of a catalogue entry with another adapter than the entry's, or with none.

    Args:
        config: the entry.
        adapter: directory of the adapter; None: the bare model.
    """
    name = None if adapter is None else str(adapter.resolve())
    return load(config.model_copy(update={"adapter": name}))


def place(config: ModelConfig) -> Placement:
    """Settle "auto": the first of cuda, mps and cpu that is there; bfloat16 on cuda and float32 elsewhere.

    Raises:
        PkvError: when the device asked for is not there.
    """
    device = config.device
    if device == "auto":
        device = (
            "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        )
    if device.startswith("cuda"):
        index = int(device.partition(":")[2] or 0)
        if not torch.cuda.is_available() or index >= torch.cuda.device_count():
            raise PkvError(
                f"model.device={device}, and torch sees {torch.cuda.device_count()} CUDA devices",
                "set model.device=auto",
            )
    elif device == "mps" and not torch.backends.mps.is_available():
        raise PkvError("model.device=mps, and torch sees no MPS device", "set model.device=auto")
    name = config.dtype
    if name == "auto":
        name = "bfloat16" if device.startswith("cuda") else "float32"
    attention = None if config.attention == "auto" else config.attention
    return Placement(getattr(torch, name), device, attention, config.quantise_4bit)


def open_model(config: ModelConfig, placement: Placement) -> Opened:
    """Model and tokenizer from their source, as they are there.

    Args:
        config: what was asked for.
        placement: device and dtype.

    Raises:
        PkvError: as ``load``; an entry that stands for a table of models.
    """
    match config.source:
        case "table":
            raise no_single_model(config.name)
        case "tiny" if config.family == "pictures":
            made = new_picture_model(config.seed)
            nn.Module.to(made, placement.dtype)
            return Opened(made, picture_tokenizer())
        case "tiny":
            model, tokenizer = tiny_model(str(config.family), config.seed, attention=placement.attention)
            nn.Module.to(model, placement.dtype)
            return Opened(model, tokenizer)
        case "embedded":
            name = config.package or embedded.DEFAULT
            found = read_checkpoint(str(embedded.embedded_directory(name)), placement)
            package = embedded.PACKAGES[name]
            return Opened(found.model, found.tokenizer, package.revision, package.quantised)
        case "gguf":
            if config.path is not None:
                file, commit = expanded(config.path), None
            else:
                file, commit = fetch_gguf(str(config.hub_id), str(config.gguf_file), config.revision)
            check_gguf(file)
            quantised = quantisation_of(file)
            return Opened(*read_gguf(file, placement.dtype, placement.attention), commit, quantised)
        case "shipped":
            found = read_checkpoint(str(shipped_folder(str(config.path))), placement)
            return Opened(found.model, found.tokenizer, None, found.quantised)
        case "local":
            found = read_checkpoint(str(check_directory(str(config.path))), placement)
            return Opened(found.model, found.tokenizer, None, found.quantised)
        case "hub":
            found = read_checkpoint(str(config.hub_id), placement, config.revision)
            return Opened(found.model, found.tokenizer, found.commit or config.revision, found.quantised)


@dataclass(frozen=True)
class Prepared:
    """A model on its device with its adapter merged, and what it came from.

    Attributes:
        model: in eval mode, gradients of the weights off.
        tokenizer: as every experiment wants it.
        opened: what its source gave.
        adapter_sha256: of the adapter that was merged, or None.
        packed: the weights are held quantised.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    opened: Opened
    adapter_sha256: str | None
    packed: bool


def prepare(opened: Opened, config: ModelConfig, placement: Placement) -> Prepared:
    """Merge the adapter, freeze and place the model.

    Args:
        opened: model and tokenizer from their source.
        config: what was asked for.
        placement: device and dtype.
    """
    model, tokenizer = opened.model, opened.tokenizer
    tokenizer = prepared(tokenizer, config.name)
    check_vocabulary(tokenizer, model, config.name)
    packed = held_packed(model)
    adapter_sha256 = None
    if config.adapter is not None:
        if packed:
            raise PkvError(
                f"adapter {config.adapter} cannot be merged into {opened.quantised} weights",
                "use unquantised weights",
            )
        model, adapter_sha256 = merge_adapter(model, find_adapter(config.adapter))
    if not packed:
        # Checkpoints come in the dtype asked for; casting here would undo modules that are kept in float32.
        nn.Module.to(model, placement.device)
    model.eval().requires_grad_(False)
    check_finite(model, config.name)
    return Prepared(model, tokenizer, opened, adapter_sha256, packed)


def info_of(ready: Prepared, config: ModelConfig, check: Mapping[str, float]) -> ModelInfo:
    """What a record says of a model.

    Args:
        ready: the model.
        config: what was asked for.
        check: numbers of the load check; empty where the engine does not read the model.
    """
    model, opened = ready.model, ready.opened
    return ModelInfo(
        name=config.name,
        source=config.source,
        hub_id=config.hub_id,
        revision=opened.revision,
        weight_sha256=weights_of(model),
        identity=identity_of(model),
        tokenizer_sha256=tokenizer_sha256(ready.tokenizer),
        adapter_sha256=ready.adapter_sha256,
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
        attention=str(model.config._attn_implementation),
        random_weights=config.source == "tiny",
        quantised=opened.quantised,
        quantised_in_memory=ready.packed,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        check=dict(check),
    )


def assemble(opened: Opened, config: ModelConfig, placement: Placement) -> LoadedModel:
    """Prepare a model, read how it is built, hold that against its forward and describe the result.

    Args:
        opened: model and tokenizer from their source.
        config: what was asked for.
        placement: device and dtype.
    """
    ready = prepare(opened, config, placement)
    spec = spec_of(ready.model)
    check = kept_check(ready.model, spec, identity_of(ready.model))
    info = info_of(ready, config, check.numbers())
    return LoadedModel(ready.model, ready.tokenizer, spec, info, config, check)
