"""Values of a config.json at which loading fails, told by their key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassClassValidationError, StrictDataclassFieldValidationError
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from pkv_interp.errors import PkvError, short

_HINT = "correct its config.json"
#: Sizes without which there is no model.
_SIZES = ("num_attention_heads", "hidden_size", "vocab_size")
_FIELD = re.compile(r"field '(\w+)'")
_EXPECTED = re.compile(r"expected (\w+), got \w+ \(value: (.*?)\)(?:[;,.]|$)")


def check_sizes(raw: Mapping[str, Any], where: str) -> None:
    """Refuse a config.json with a size of 0 or less.

    Raises:
        PkvError: naming key and value.
    """
    inner = raw.get("text_config")
    for stated in (raw, inner if isinstance(inner, Mapping) else {}):
        for name in _SIZES:
            value = stated.get(name, 1)
            if isinstance(value, int) and value <= 0:
                raise PkvError(f"config.json of {where} has {name} = {value}, not a number above 0", _HINT)


def check_window(config: Any, where: str) -> None:
    """Refuse a window of no tokens where the architecture has windows.

    Raises:
        PkvError: naming key and value.
    """
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    used = "sliding_window" in getattr(type(config), "__dataclass_fields__", {})
    used = used and (kinds is None or "sliding_attention" in kinds)
    if used and isinstance(window, int) and window <= 0:
        raise PkvError(
            f"config.json of {where} has sliding_window = {window}, which leaves no token to attend to",
            "set it to the model's window, or to null where there is none",
        )


def told_field(error: BaseException, where: str) -> tuple[str, str] | None:
    """Cause and hint where a value in config.json is not of its key's type or contradicts another."""
    said = str(error)
    if isinstance(error, StrictDataclassClassValidationError):
        return f"config.json of {where} contradicts itself: {said.partition('Error: ')[2] or said}", _HINT
    if isinstance(error, KeyError) and said.strip('"').startswith("Missing required keys in `rope"):
        return f"config.json of {where}: {error.args[0]}", _HINT
    field, expected = _FIELD.search(said), _EXPECTED.findall(said)
    if not isinstance(error, StrictDataclassFieldValidationError) or field is None or not expected:
        return None
    kinds = " or ".join(dict.fromkeys("null" if kind == "NoneType" else kind for kind, _ in expected))
    return f"config.json of {where} has {field[1]} = {expected[0][1][:60]}, not {kinds}", _HINT


@contextmanager
def rope_told(config: Any, where: str) -> Iterator[None]:
    """Name what is wrong with rotary parameters when making the model of a configuration fails."""
    try:
        yield
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        told = getattr(config, "rope_parameters", None) or {}
        for rule in [told, *(inner for inner in told.values() if isinstance(inner, Mapping))]:
            kind = rule.get("rope_type", "default")
            if isinstance(error, KeyError) and error.args == (kind,) and kind not in ROPE_INIT_FUNCTIONS:
                cause = (
                    f"config.json of {where} has rope_type = {short(kind)}, which transformers does not know"
                )
                raise PkvError(cause, _HINT) from error
            for name, value in rule.items():
                if isinstance(value, str | bool) and name not in ("rope_type", "type"):
                    cause = f"config.json of {where} has {name} = {short(value)} in its rotary parameters"
                    raise PkvError(cause, "write a number there") from error
        raise
