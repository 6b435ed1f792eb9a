"""The load check of a model that was checked before: once per weights, config, libraries and code of ours."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.models.embedded import cache_root
from pkv_interp.models.load_check import LoadCheck, check_model
from pkv_interp.models.spec import ModelSpec

#: Models of fewer weights are checked every time: that takes as long as reading a file.
SMALL = 10_000_000
#: Whose code decides what the check says: all of it counts, so that no module can be forgotten.
_CODE = ("cache/*.py", "models/*.py", "tolerances.py")


def kept_check(model: PreTrainedModel, spec: ModelSpec, identity: str) -> LoadCheck:
    """``check_model``, or its numbers from the user's cache folder.

    Args:
        model: the model.
        spec: what was read of it.
        identity: of the model (`models.identity`).

    Raises:
        PkvError: our reading of the model is wrong.
    """
    if sum(parameter.numel() for parameter in model.parameters()) < SMALL:
        return check_model(model, spec)
    file = cache_root() / "load_checks" / f"{_key(model, spec, identity)}.json"
    found = _read(file)
    if found is None:
        found = check_model(model, spec)
        # A cache that cannot be written costs the check's seconds next time, and nothing else.
        with suppress(PkvError):
            atomic_write(file, json.dumps(found.numbers()).encode())
    return found


def _key(model: PreTrainedModel, spec: ModelSpec, identity: str) -> str:
    digest = hashlib.sha256()
    config: Any = model.config
    stated = (
        identity,
        config.to_json_string(use_diff=False),
        config._attn_implementation,
        str(model.device),
        str(model.dtype),
        torch.__version__,
        transformers.__version__,
        json.dumps(asdict(spec)),
    )
    for part in stated:
        digest.update(f"{len(part)} {part}\n".encode())
    package = Path(__file__).parents[1]
    for pattern in _CODE:
        for path in sorted(package.glob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(file: Path) -> LoadCheck | None:
    """A kept check, or None where there is none or the file is damaged."""
    try:
        numbers = json.loads(file.read_bytes())
        names = [field.name for field in fields(LoadCheck)]
        # Cosines differ by 2 at most, no other error that passed is near 1, and NaN is below nothing.
        if set(numbers) != set(names) or not all(0 <= float(numbers[name]) < 4 for name in names):
            return None
        return LoadCheck(**{name: float(numbers[name]) for name in names})
    except (OSError, ValueError, TypeError):
        return None
