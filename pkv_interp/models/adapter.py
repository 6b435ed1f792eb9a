"""LoRA adapters, read from safetensors and merged into the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftConfig, get_peft_model, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError

PACKAGED = Path(__file__).resolve().parents[1] / "data"
CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"


def find_adapter(name: str) -> Path:
    """Directory of an adapter: a path as given, or the name of one shipped with the package.

    Raises:
        PkvError: when neither has both files of an adapter.
    """
    given = Path(name).expanduser()
    shipped = PACKAGED / name
    # A bare name means the shipped one, whatever directory of that name the run was started beside.
    bare = len(given.parts) == 1 and (shipped.is_dir() or not given.is_dir())
    directory = shipped if bare else given
    hint = (
        "train it with python -m experiments.train_gate"
        if bare
        else "set model.adapter to a directory written by peft's save_pretrained"
    )
    if not directory.is_dir():
        raise PkvError(f"adapter directory {directory} is missing", hint)
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / file).is_file():
            raise PkvError(f"adapter directory {directory} has no {file}", hint)
    return directory


def merge_adapter(model: PreTrainedModel, path: str | Path) -> tuple[PreTrainedModel, str]:
    """Merge a LoRA adapter into the weights of ``model``, in place.

    Args:
        model: the plain model the adapter was trained on.
        path: directory with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Returns:
        The model (same class, no peft layers left) and the sha256 of the adapter's weight file.

    Raises:
        PkvError: when files are missing, or the adapter does not fit the model.
    """
    directory = find_adapter(str(path))
    weights = directory / WEIGHTS_FILE
    config = PeftConfig.from_pretrained(str(directory))
    if not isinstance(config, LoraConfig):
        raise PkvError(f"adapter {directory} is {config.peft_type}, not LoRA", "train a LoRA adapter")
    hint = f"use the model it was trained on ({config.base_model_name_or_path or 'not named in its config'})"
    # peft draws random initial values for weights that are overwritten below: keep the caller's stream.
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        try:
            wrapped = get_peft_model(model, config)
            outcome: Any = set_peft_model_state_dict(wrapped, load_file(weights))
        except (ValueError, RuntimeError, SafetensorError) as error:
            raise PkvError(
                f"adapter {directory} does not fit {type(model).__name__}: {error}", hint
            ) from error
    absent = [key for key in outcome.missing_keys if "lora_" in key]
    if absent or outcome.unexpected_keys:
        odd = (absent + list(outcome.unexpected_keys))[0]
        raise PkvError(f"adapter {directory} and {type(model).__name__} disagree on {odd}", hint)
    merged = cast(Any, wrapped).merge_and_unload(safe_merge=True)
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    return merged, hashlib.sha256(weights.read_bytes()).hexdigest()
