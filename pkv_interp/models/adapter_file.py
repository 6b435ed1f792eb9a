"""What a folder of a LoRA adapter holds, read and checked before any of it reaches a model."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from peft import LoraConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pkv_interp.errors import PkvError, short

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
_HINT = "use a directory written by peft's save_pretrained"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _rank(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _table_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(holds(inner) for inner in value.values())


#: Keys that decide the numbers: peft takes any value and fails late, or reads it as something else.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "r": (_rank, "a whole number above 0"),
    "lora_alpha": (_number, "a number"),
    "bias": (lambda value: value in ("none", "all", "lora_only"), "none, all or lora_only"),
    "rank_pattern": (_table_of(_rank), "names with whole numbers above 0"),
    "alpha_pattern": (_table_of(_number), "names with numbers"),
    "use_rslora": (_flag, "true or false"),
    "use_dora": (_flag, "true or false"),
    "fan_in_fan_out": (_flag, "true or false"),
    "lora_bias": (_flag, "true or false"),
}


def read_config(directory: Path) -> LoraConfig:
    """The configuration of an adapter.

    Raises:
        PkvError: it is no JSON, not of LoRA, or has a key or value that cannot be followed.
    """
    file = directory / CONFIG_FILE
    try:
        told = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PkvError(f"{file} cannot be read as JSON: {error}", _HINT) from error
    if not isinstance(told, dict):
        raise PkvError(f"{file} holds {short(told)} and no table of keys", _HINT)
    if told.get("peft_type") != "LORA":
        kind = told.get("peft_type")
        raise PkvError(
            f"adapter {directory} is {kind if isinstance(kind, str) else short(kind)}, not LoRA",
            "train a LoRA adapter",
        )
    known = {field.name for field in dataclasses.fields(LoraConfig)}
    for key, value in told.items():
        # What is switched off in a key of another version of peft changes nothing.
        off = value is None or value is False or value in ([], {})
        if key not in known and not off:
            raise PkvError(
                f"{file} has {key} = {short(value)}, which the installed peft does not know",
                "use the version of peft that wrote it, or take the key out if it changes no weight",
            )
        holds, wanted = _VALUES.get(key, (lambda _: True, ""))
        if value is not None and not holds(value):
            raise PkvError(f"{file} has {key} = {short(value)}, not {wanted}", "correct it")
    try:
        return cast(LoraConfig, LoraConfig.from_pretrained(str(directory)))
    except Exception as error:  # a file is input: whatever peft raises over it is told in one line
        raise PkvError(f"peft cannot use {file}: {error}", _HINT) from error


def read_weights(directory: Path) -> dict[str, Tensor]:
    """The tensors of an adapter.

    Raises:
        PkvError: the file is damaged, or a tensor has an infinity or NaN.
    """
    file = directory / WEIGHTS_FILE
    try:
        tensors = load_file(file)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise PkvError(f"{file} is damaged: {error}", "train or fetch the adapter again") from error
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.float().isfinite().all()):
            raise PkvError(
                f"adapter {directory} has weights that are not finite, first {name}",
                "train or fetch the adapter again",
            )
    return tensors
