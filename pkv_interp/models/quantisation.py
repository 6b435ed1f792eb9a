"""How weights were quantised, by what their checkpoint says and by what is held in memory."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.quantizers.auto import AUTO_QUANTIZER_MAPPING

from pkv_interp.errors import PkvError

_DEQUANTISED = " (dequantised)"
_PLAIN = frozenset({torch.float64, torch.float32, torch.bfloat16, torch.float16})
#: Of buffers only these types are packed weights; positions and masks are of others.
_PACKED = frozenset({torch.uint8, torch.int8, torch.int32})
_PLAIN_STORED = frozenset({"F64", "F32", "BF16", "F16", "BOOL", "I64"})
#: Headers of safetensors are smaller; a longer one is damage, which loading will tell.
_LONGEST_HEADER = 100_000_000


def stated(config: Mapping[str, Any], where: str) -> str | None:
    """Name of the quantisation that a checkpoint's config.json states, None where it states none.

    Args:
        config: the file's content.
        where: the checkpoint, for the message.

    Raises:
        PkvError: transformers does not know the method, and would take the packed numbers for weights.
    """
    texts = [inner for inner in config.values() if isinstance(inner, Mapping)]
    all_stated = (part.get("quantization_config") for part in (config, *texts))
    found = next((one for one in all_stated if one), None)
    if found is None:
        return None
    method = str(found.get("quant_method", "")) if isinstance(found, Mapping) else ""
    if isinstance(found, Mapping) and not method:
        method = "bitsandbytes" if found.get("load_in_8bit") or found.get("load_in_4bit") else ""
    if method != "bitsandbytes" and method not in AUTO_QUANTIZER_MAPPING:
        raise PkvError(
            f"{where} is quantised as '{method or found}', which the installed transformers does not read",
            "use an unquantised checkpoint, or a newer transformers",
        )
    bits, form = found.get("bits"), found.get("format")
    told = [method, f"{bits} bit" if bits else None, form if isinstance(form, str) else None]
    return " ".join(part for part in told if part)


def stored(files: Iterable[Path]) -> str | None:
    """Names of the packed types that safetensors files hold, None for plain floats."""
    kinds: set[str] = set()
    for path in files:
        try:
            with path.open("rb") as file:
                (length,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(min(length, _LONGEST_HEADER)))
            kinds |= {tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"}
        except (OSError, ValueError, struct.error, KeyError, TypeError, AttributeError):
            continue  # Loading it says what is wrong with it.
    return ", ".join(sorted(kinds - _PLAIN_STORED)) or None


def held_packed(model: nn.Module) -> bool:
    """Whether any weight in memory is something else than plain floats."""
    if any(parameter.dtype not in _PLAIN for parameter in model.parameters()):
        return True
    return any(buffer.ndim > 1 and buffer.dtype in _PACKED for buffer in model.buffers())


def told(name: str | None, model: nn.Module) -> str | None:
    """What a record says: the checkpoint's quantisation, and whether it was undone at load."""
    if name is None:
        return None
    return name if held_packed(model) else name + _DEQUANTISED
