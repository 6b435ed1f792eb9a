"""Finite or nothing: no decision, ranking or text comes from numbers that are no numbers (S10)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.early import early_values
from pkv_interp.composing import precompile
from pkv_interp.editing import EditableContext, field, system, user
from pkv_interp.editing.generation import generate
from pkv_interp.engine import Engine, Prefill
from pkv_interp.engine.generate import continue_greedily, extend
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite, finite_logits
from pkv_interp.measure.decision import kl_divergence, token_margin
from pkv_interp.measure.heads import top_heads
from pkv_interp.models.load import LoadedModel
from pkv_interp.training.losses import supervised_losses
from pkv_interp.training.tokens import TokenSequence
from pkv_interp.weight_editing.projections import inputs_of
from pkv_interp.weight_editing.statements import Statement
from pkv_interp.weight_editing.value import ValueSettings, optimise_value
from tests.families import ids_of, tiny

MESSAGES = (system("The state is ", field("state", "open"), "."), user("What now?"))


@dataclass(frozen=True, eq=False)
class Ground:
    """A model that overflows, and a cache and prefills of the same model before it did."""

    loaded: LoadedModel
    runner: Runner
    engine: Engine
    ids: list[int]
    cache: FrozenCache
    prefill: Prefill


@cache
def ground() -> Ground:
    """The first MLP's output is too large for float16: infinite in the stream, NaN after the next norm."""
    sound = tiny("llama")
    ids = ids_of(sound, 12, seed=1)
    model: Any = torch.nn.Module.to(copy.deepcopy(sound.model), torch.float16)
    loaded = replace(sound, model=model)
    prefill = Engine(loaded).prefill(ids, {"prefill"})
    cache_ = Runner.of(model).prefill(ids).cache
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(3e3)
        model.model.layers[0].mlp.down_proj.weight.mul_(3e3)
    return Ground(loaded, Runner.of(model), Engine(loaded), ids, cache_, prefill)


def _context(g: Ground) -> EditableContext:
    return EditableContext(g.loaded.model, g.loaded.tokenizer, MESSAGES)


def _losses(g: Ground) -> None:
    optimise_value(g.runner, 1, [Statement(tuple(g.ids), 5, 7)], None, ValueSettings())


def _full(g: Ground, value: float) -> torch.Tensor:
    """Queries of the prompt, all of one value."""
    spec = g.loaded.spec
    return torch.full((spec.n_layers, spec.n_heads, len(g.ids), spec.head_dim), value).half()


#: Everything public that a decision, a ranking or a text comes from.
ENTRIES: dict[str, Callable[[Ground], object]] = {
    "Engine.prefill": lambda g: g.engine.prefill(g.ids),
    "Engine.prefill, captures": lambda g: g.engine.prefill(g.ids, {"prefill", "attention", "queries"}),
    "Engine.decode": lambda g: g.engine.decode(g.prefill, [()]),
    "Engine.decode of two tokens": lambda g: g.engine.decode(g.prefill, [()], token_ids=[5, 9]),
    "Engine.rerun": lambda g: g.engine.rerun(g.prefill, [()]),
    "Engine.attribute": lambda g: g.engine.attribute(g.prefill, g.prefill, (5, 9)),
    "Engine.lens": lambda g: g.engine.lens(torch.full((g.loaded.spec.d_model,), torch.inf).half()),
    "Engine.final_logits": lambda g: g.engine.final_logits(
        torch.full((g.loaded.spec.d_model,), torch.inf).half(), (5, 9)
    ),
    "Engine.direct_logit": lambda g: g.engine.direct_logit(
        torch.full((1, g.loaded.spec.d_model), torch.inf).half(), g.prefill.resid[-1], (5, 9)
    ),
    "Engine.contributions": lambda g: g.engine.contributions(
        replace(g.prefill, mlp=torch.full_like(g.prefill.mlp, torch.nan))
    ),
    "Engine.attention_outputs": lambda g: g.engine.attention_outputs(
        replace(g.prefill, queries=_full(g, torch.nan)), g.prefill.cache, 1
    ),
    "Runner.prefill": lambda g: g.runner.prefill(g.ids),
    "Runner.extend": lambda g: g.runner.extend(g.cache, g.ids[:3]),
    "Runner.recompute": lambda g: g.runner.recompute(g.cache, [4, 11], g.ids[:2]),
    "early_values": lambda g: early_values(g.runner, g.cache, g.ids[:3], 1),
    "extend": lambda g: extend(g.loaded, g.ids, g.cache.slice(0, 6)),
    "continue_greedily": lambda g: continue_greedily(g.loaded, g.ids[0], [g.cache, g.cache], 2),
    "generate": lambda g: generate(g.runner, g.loaded.tokenizer, g.cache, g.ids[:2], 3),
    "precompile": lambda g: precompile(g.runner, g.loaded.tokenizer, g.ids),
    "context.prefill": lambda g: _context(g).prefill(),
    "context.decide": lambda g: _context(g).prefill().decide(["yes", "no"]),
    "context.edit": lambda g: _context(g).edit("state", "closed", "erratum"),
    "inputs_of": lambda g: inputs_of(g.loaded.model, [1], g.ids),
    "optimise_value": _losses,
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_what_overflows_is_refused_in_one_line(entry: str) -> None:
    """S10: a float16 model whose MLP overflows decided for the first option with a margin of NaN."""
    with pytest.raises(PkvError, match=r"not finite; .*float32") as caught:
        ENTRIES[entry](ground())
    assert "\n" not in str(caught.value)


def test_the_same_model_in_bfloat16_serves() -> None:
    """The advice of the line holds: bfloat16 has the range that float16 lacks."""
    g = ground()
    model: Any = torch.nn.Module.to(copy.deepcopy(g.loaded.model), torch.bfloat16)
    assert Runner.of(model).prefill(g.ids).logits.isfinite().all()


@pytest.mark.parametrize(
    "rows", [[[1.0, float("nan")]], [[float("inf"), 0.0]], [[0.0, 1.0], [-torch.inf] * 2]]
)
def test_logits_with_a_nan_an_infinity_or_no_token_left_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(PkvError, match="not finite"):
        finite_logits(torch.tensor(rows))


def test_tokens_that_the_model_rules_out_are_no_fault() -> None:
    """Minus infinity is how a padded or suppressed token is ruled out; only deciding by it is refused."""
    logits = torch.tensor([1.0, 3.0, -torch.inf])
    assert finite_logits(logits) is logits
    assert float(token_margin(logits, (0, 1))) == -2.0
    with pytest.raises(PkvError, match="margins are not finite"):
        token_margin(logits, (0, 2))
    assert float(kl_divergence(logits, logits)) == 0.0


@pytest.mark.parametrize("values", [torch.tensor([torch.nan]), np.array([np.inf]), float("nan")])
def test_any_kind_of_number_is_looked_at(values: Any) -> None:
    with pytest.raises(PkvError, match="the effects are not finite"):
        finite(values, "the effects")


def test_sites_are_not_ranked_by_nan() -> None:
    with pytest.raises(PkvError, match="not finite"):
        top_heads(np.array([[1.0, np.nan]]), 1)


def test_training_stops_at_a_loss_of_nan() -> None:
    g = ground()
    with pytest.raises(PkvError, match="training losses are not finite"):
        supervised_losses(g.loaded.model, [TokenSequence(tuple(g.ids), (3,), (3,), "chat")], 0)
