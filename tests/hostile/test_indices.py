"""Counts, indices and settings of drawing that make no sense are refused in one line, and never wrap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import torch

from pkv_interp.cache import FrozenCache, Runner, reposition
from pkv_interp.cache.early import early_values, most_moved
from pkv_interp.composing.repair import deviating_positions, seam_repair
from pkv_interp.editing.generation import Sampling, generate
from pkv_interp.engine import Engine, Prefill
from pkv_interp.engine.generate import continue_greedily, extend
from pkv_interp.errors import PkvError
from pkv_interp.interventions import HeadPatch, MLPPatch
from pkv_interp.models.load import LoadedModel
from tests.families import ids_of, tiny

FAR = 10**6


@dataclass(frozen=True, eq=False)
class Ground:
    loaded: LoadedModel
    engine: Engine
    runner: Runner
    ids: list[int]
    cache: FrozenCache
    prefill: Prefill
    extended: Prefill


@cache
def ground() -> Ground:
    loaded = tiny("llama")
    engine, runner, ids = Engine(loaded), Runner.of(loaded.model), ids_of(loaded, 12, seed=1)
    made = runner.prefill(ids).cache
    prefill = engine.prefill(ids, {"prefill", "queries"})
    return Ground(loaded, engine, runner, ids, made, prefill, extend(loaded, ids, made.slice(0, 6)))


def _write(g: Ground, most: Any = 2, stop: Any = (), ids: Any = None, **drawn: Any) -> object:
    given = g.ids[:2] if ids is None else ids
    return generate(g.runner, g.loaded.tokenizer, g.cache, given, most, Sampling(**drawn), stop)


def _moved(g: Ground, candidates: list[int], n: Any = 2, ids: Any = None) -> object:
    return most_moved(g.runner, g.cache, 4, g.ids[4:] if ids is None else ids, candidates, n)


def _attribute(g: Ground, ids: Any, donor: Prefill | None = None) -> object:
    return g.engine.attribute(g.prefill, donor or g.prefill, ids)


#: What is called, and words of its refusal.
CALLS: dict[str, tuple[Callable[[Ground], object], str]] = {
    "temperature that overflows": (lambda g: _write(g, temperature=1e-39), "temperature is 1e-39"),
    "temperature of text": (lambda g: _write(g, temperature="0"), "temperature is '0'"),
    "temperature of nan": (lambda g: _write(g, temperature=float("nan")), "temperature is nan"),
    "seed too large": (lambda g: _write(g, seed=2**70), f"seed is {2**70}"),
    "seed of halves": (lambda g: _write(g, seed=1.5), "seed is 1.5"),
    "seed of None": (lambda g: _write(g, seed=None), "seed is None"),
    "no ids to write after": (lambda g: _write(g, ids=[]), "no token to run"),
    "stop of None": (lambda g: _write(g, stop=None), "stop is None"),
    "stop of numbers": (lambda g: _write(g, stop=[3]), "3 is no stop text"),
    "limit of halves": (lambda g: _write(g, most=2.0), "limit of new tokens is 2.0"),
    "id of early values": (lambda g: early_values(g.runner, g.cache, [FAR], 1), f"token id {FAR}"),
    "layer of early values": (lambda g: early_values(g.runner, g.cache, [300], -1), "layer -1"),
    "id of deviating positions": (
        lambda g: deviating_positions(g.runner, g.cache, [(3, 9)], [FAR] * 12, 0.5),
        f"token id {FAR}",
    ),
    "last token": (lambda g: continue_greedily(g.loaded, FAR, [g.cache], 2), f"token id {FAR}"),
    "candidate before": (lambda g: _moved(g, [3, 5]), "-1 is out of range"),
    "candidate after": (lambda g: _moved(g, [5, 12]), "8 is out of range"),
    "none moved": (lambda g: _moved(g, [5], -1), "n is -1"),
    "written before": (lambda g: g.engine.written(g.prefill, [-1]), "position -1"),
    "written after": (lambda g: g.engine.written(g.prefill, [12]), "position 12"),
    "outputs of layer": (lambda g: g.engine.attention_outputs(g.prefill, g.prefill.cache, -1), "layer -1"),
    "outputs of no layer": (lambda g: g.engine.attention_outputs(g.prefill, g.prefill.cache, 99), "layer 99"),
    "one action": (lambda g: _attribute(g, (5,)), "1 action ids"),
    "three actions": (lambda g: _attribute(g, (5, 6, 7)), "3 action ids"),
    "no direct logit": (
        lambda g: g.engine.direct_logit(g.prefill.resid[-1:], g.prefill.resid[-1], []),
        "no token ids were given",
    ),
    "half a move": (lambda g: reposition(g.loaded.model, g.cache, 2.5), "delta is 2.5"),  # type: ignore[arg-type]
    "half a seam": (lambda g: seam_repair(g.runner, g.cache, (3, 9), g.ids, 2.5), "k is 2.5"),  # type: ignore[arg-type]
    "half a slice": (lambda g: g.cache.slice(0, 2.0), "stop is 2.0"),  # type: ignore[arg-type]
    "contributions of extend": (lambda g: g.engine.contributions(g.extended), "were not captured"),
    "attribution of extend": (lambda g: _attribute(g, (5, 6), g.extended), "were not captured"),
    "head of extend": (
        lambda g: g.engine.decode(g.prefill, [(HeadPatch(1, 0, 0),)], (g.extended,)),
        "were not captured",
    ),
    "MLP of extend": (
        lambda g: g.engine.decode(g.prefill, [(MLPPatch(1, 0),)], (g.extended,)),
        "were not captured",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_makes_no_sense_is_refused_in_one_line(name: str) -> None:
    call, told = CALLS[name]
    with pytest.raises(PkvError) as caught:
        call(ground())
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_rows_may_come_one_by_one_and_ids_as_a_tensor() -> None:
    g = ground()
    rows: Any = (() for _ in range(2))
    assert g.engine.decode(g.prefill, rows).logits.shape[0] == 2
    chosen = deviating_positions(g.runner, g.cache, [(3, 9)], torch.tensor(g.ids), 0.5)
    assert chosen == deviating_positions(g.runner, g.cache, [(3, 9)], g.ids, 0.5)
