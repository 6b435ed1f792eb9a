"""Checkpoints in the layout of transformers: a repository on the hub, or a directory."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.hub import cached_file, extract_commit_hash

from pkv_interp.errors import PkvError
from pkv_interp.models.config_errors import check_sizes, check_window, rope_told
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.leftovers import check_report
from pkv_interp.models.quantisation import stated, stored, told
from pkv_interp.models.quiet import quiet
from pkv_interp.models.requested import shards_of
from pkv_interp.paths import expanded

# A multimodal checkpoint names its language model in one of two ways, by the age of the file.
_UNWRAP = {r"^language_model\.lm_head\.": "lm_head.", r"^(model\.)?language_model\.(model\.)?": "model."}
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class Placement:
    """Where and how weights are held: dtype, device, "sdpa" | "eager" | None, and 4-bit or not."""

    dtype: torch.dtype
    device: str
    attention: str | None
    quantise_4bit: bool = False


@dataclass(frozen=True)
class Checkpoint:
    """What was read: model, tokenizer, the commit of a hub's revision, and the stored quantisation."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    commit: str | None
    quantised: str | None


def read_checkpoint(where: str, placement: Placement, revision: str | None = None) -> Checkpoint:
    """Load a causal language model and its tokenizer from safetensors; no code of the checkpoint is run.

    Of a multimodal checkpoint the language model alone is loaded.

    Args:
        where: directory, or repository id on the hub.
        placement: dtype, device and attention.
        revision: branch, tag or commit; ignored for a directory.

    Raises:
        PkvError: when it cannot be reached or read, has weights missing or left over, or ties weights that it
            stores different.
    """
    common: dict[str, Any] = {"trust_remote_code": False}
    extra: dict[str, Any] = {}
    if placement.quantise_4bit:
        extra["quantization_config"] = _four_bit(placement)
    if placement.device != "cpu" or placement.quantise_4bit:
        extra["device_map"] = {"": placement.device}
    # Warnings of transformers are tables over many lines; what matters in them is refused below by name.
    with told_as_pkv_error(where, revision), quiet(warnings=False):
        commit, folder = None, Path(where)
        if not folder.is_dir():
            file = cached_file(where, "config.json", revision=revision)
            commit, folder = extract_commit_hash(file, None), Path(str(file)).parent
            common["revision"] = commit or revision  # the branch may move between two requests
        raw, _ = PreTrainedConfig.get_config_dict(where, **common)
        quantised = stated(raw, where)
        check_sizes(raw, where)
        config: Any = AutoConfig.from_pretrained(where, **common)
        text = config.get_text_config()
        check_window(text, where)
        if text is not config:
            extra["key_mapping"] = _UNWRAP
        tokenizer = AutoTokenizer.from_pretrained(where, **common)
        with rope_told(text, where):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                where,
                config=text,
                dtype=placement.dtype,
                attn_implementation=placement.attention,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, with their names
                **common,
                **extra,
            )
    model, report = loaded
    check_report(model, report, where, part_of_a_whole=text is not config)
    name = quantised or stored(folder.glob("*.safetensors"))
    if placement.quantise_4bit:
        name = "bitsandbytes nf4"
    return Checkpoint(model, tokenizer, commit, told(name, model))


def check_directory(path: str) -> Path:
    """Resolve ``path`` and check that it is a directory with safetensors weights.

    Raises:
        PkvError: when it is missing, has no config.json, holds pickled weights only, or a shard is missing.
    """
    directory = expanded(path)
    if not directory.is_dir():
        raise PkvError(f"model directory {directory} does not exist", "set model.path to a directory")
    if not (directory / "config.json").is_file():
        raise PkvError(
            f"{directory} has no config.json", "set model.path to a directory saved by save_pretrained"
        )
    if not any(directory.glob("*.safetensors")):
        pickled = sorted(file.name for file in directory.iterdir() if file.suffix in _PICKLED)
        if pickled:
            raise PkvError(
                f"{directory} holds pickled weights only ({pickled[0]}), which are never opened",
                "convert them to safetensors",
            )
        raise PkvError(f"{directory} has no *.safetensors", "save the weights there as safetensors")
    for index in directory.glob("*.safetensors.index.json"):
        named = shards_of(index)
        absent = [name for name in named if not (directory / name).is_file()]
        if absent and not (directory / "model.safetensors").is_file():
            raise PkvError(
                f"{directory} lacks {len(absent)} of {len(named)} shards, first {absent[0]}",
                "fetch or copy it again, whole",
            )
    return directory


def _four_bit(placement: Placement) -> BitsAndBytesConfig:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise PkvError(
            "model.quantise_4bit=true needs bitsandbytes, which is not installed",
            "pip install 'pkv_interp[quantised]', or set model.quantise_4bit=false",
        )
    if placement.device.partition(":")[0] not in ("cuda", "cpu"):
        raise PkvError(
            f"model.quantise_4bit=true runs on a CPU or a CUDA device, not on {placement.device}",
            "set model.quantise_4bit=false or model.device=cpu",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=placement.dtype
    )
