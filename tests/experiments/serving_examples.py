"""Prompts, answers and runs of the serving experiment as tests make them up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from experiments.serving.cases import Asked, Prepared
from experiments.serving.load import LoadRun
from experiments.serving.scored import Served
from experiments.serving.settings import ServingSettings
from pkv_interp.records.controls import control
from pkv_interp.serving.client import Prompt
from pkv_interp.serving.counters import Counted
from pkv_interp.tolerances import tolerance_of
from tests import runs
from tests.experiments.configs import compose
from tests.serving.fake import WORDS, FakeServer, log_probabilities


def settings(*changes: str) -> ServingSettings:
    """Those of the small run, with changes."""
    made = compose("serving", *runs.last(*runs.SERVING, *changes))
    assert isinstance(made, ServingSettings)
    return made


class Judge:
    """A session as far as controls go. It raises for none, so that every one of them is seen."""

    def __init__(self) -> None:
        self.settings = settings()
        self.tolerance = tolerance_of("float32")
        self.controls: dict[str, bool] = {}

    def control(self, name: str, value: float, expected: float, tolerance: float, detail: str = "") -> None:
        self.controls[name] = control(name, value, expected, tolerance, detail).passed


def failed(check: Callable[[Any, Any], None], found: object) -> set[str]:
    """Names of the controls that fail on what was found."""
    judge = Judge()
    check(judge, found)
    assert judge.controls
    return {name for name, passed in judge.controls.items() if not passed}


def served(scene: int = 0, *, first: float = 1.0, **other: Any) -> Served:
    """An answer that is right, of 100 tokens of which 80 were cached."""
    given: dict[str, Any] = {
        "due": 0.0,
        "seconds": first,
        "computed": 20,
        "cached": 80,
        "right": True,
        "error": 1e-6,
        "in_full": "",
        "failed": "",
    }
    return Served(scene=scene, first=first, **(given | other))


def run_of(
    requests: Sequence[Served], seconds: float = 1.0, rate: float | None = None, off: int = 0
) -> LoadRun:
    """A run whose counters are ``off`` by that many tokens."""
    computed = sum(one.computed for one in requests)
    counters = Counted(computed + off, sum(one.cached for one in requests))
    return LoadRun(rate, seconds, list(requests), counters)


def prepared(number: int, server: FakeServer) -> Prepared:
    """A prompt for the fake server: four tokens of a cache, of which one changes, and one more."""
    old, new = (10 + number, 1, 2, 3, 9), (10 + number, 1, 2, 7, 9)
    told, key = (*old[:-1], 8, 9), f"{number:064x}"
    (server.caches / f"{key}.safetensors").touch()
    asks = {
        "full": Asked(Prompt(new), log_probabilities(new)),
        "erratum": Asked(Prompt(told), log_probabilities(told)),
        "field_only": Asked(Prompt(new, cache=key, slot=number), log_probabilities(new, key), 4),
    }
    right = WORDS[int(np.argmax(log_probabilities(new)))]
    scene: Any = SimpleNamespace(number=number, instance=f"made-{number}", action=right)
    nothing: Any = None
    return Prepared(scene, asks, {"early": old, "late": old}, nothing, nothing)


def caches_of(folder: Path) -> Path:
    """An empty folder of caches."""
    folder.mkdir(exist_ok=True)
    return folder
