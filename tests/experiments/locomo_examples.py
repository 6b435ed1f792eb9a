"""The made-up conversations in both layouts, and the settings of a small run on them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

from experiments.locomo.reading import Talk
from experiments.locomo.settings import LocomoSettings
from experiments.locomo.source import TalkFiles
from tests.experiments.configs import compose

MADE_UP = Path(__file__).parent / "locomo_files" / "made_up.json"


def document() -> list[dict[str, Any]]:
    """What the file holds, to be changed at will."""
    return deepcopy(json.loads(MADE_UP.read_text()))


def as_folder(folder: Path) -> Path:
    """The same conversations as the other layout has them: a file each, with nothing nested."""
    for one in document():
        name = one["sample_id"].removeprefix("conv-")
        flat = {**one["conversation"], "qa": one["qa"], "session_1_summary": "They greet each other."}
        (folder / f"{name}.json").write_text(json.dumps(flat))
    return folder


def settings(*overrides: str, path: Path = MADE_UP) -> LocomoSettings:
    """Settings of a small run."""
    made = compose("locomo", "model=tiny-llama", f"path={path}", "sessions=2", "answer_tokens=4", *overrides)
    assert isinstance(made, LocomoSettings)
    return made


def made_up() -> tuple[Talk, ...]:
    """The conversations as they are read."""
    return TalkFiles.at(MADE_UP).opened().talks


def strings(value: Any) -> Iterator[str]:
    """Every text and every number of a document, as text, but for ids of turns and of samples."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in ("dia_id", "sample_id", "evidence", "category"):
                yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)
    elif isinstance(value, str):
        yield value
