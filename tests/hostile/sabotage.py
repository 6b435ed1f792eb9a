"""Ways to break an engine, a runner or a world: what a control must notice."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from pkv_interp.agent import world
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile
from pkv_interp.composing.repair import link_repair
from pkv_interp.engine import Engine
from pkv_interp.interventions import ResidualEdit
from pkv_interp.weight_editing.rome import down_projection
from tests.families import tiny

Patch = pytest.MonkeyPatch


def wrong_donor(patch: Patch) -> None:
    """Patches take from the other donor."""
    right = Engine.decode
    patch.setattr(Engine, "decode", lambda self, base, rows, donors=(), ids=None: right(
        self, base, rows, donors[::-1], ids))  # fmt: skip


def swapped_rows(patch: Patch) -> None:
    """Results of several rows come back in another order."""
    right = Engine.decode

    def wrong(self: Engine, *arguments: Any) -> Any:
        found = right(self, *arguments)
        return replace(found, logits=found.logits.roll(1, 0))

    patch.setattr(Engine, "decode", wrong)


def swapped_heads(patch: Patch) -> None:
    """First-order effects of heads come back in another order."""
    right = Engine.attribute

    def wrong(self: Engine, *arguments: Any) -> Any:
        found = right(self, *arguments)
        return replace(found, heads=found.heads.roll(1, 1))

    patch.setattr(Engine, "attribute", wrong)


def swapped_heads_on_the_way(patch: Patch) -> None:
    """Effects of heads on the way to a donor come back in another order."""
    from experiments.bench import routes

    right = routes.path_effects
    patch.setattr(routes, "path_effects", lambda *arguments: right(*arguments).roll(1, 1))


def swapped_suffixes(patch: Patch) -> None:
    """Results of rows that edit the prefill come back in another order."""
    right = Engine.rerun

    def wrong(self: Engine, *arguments: Any) -> Any:
        found = right(self, *arguments)
        return replace(found, logits=found.logits.roll(1, 0))

    patch.setattr(Engine, "rerun", wrong)


def wrong_base(patch: Patch) -> None:
    """Rows read the first donor's prefix in place of the base's."""
    right = Engine.decode
    patch.setattr(Engine, "decode", lambda self, base, rows, donors=(), ids=None: right(
        self, donors[0] if donors else base, rows, donors, ids))  # fmt: skip


def other_weights(patch: Patch) -> None:
    """The bridge holds the weights of another model."""
    from pkv_interp.reference import bridge

    right = bridge.build_bridge
    patch.setattr(bridge, "build_bridge", lambda _loaded: right(tiny("llama", seed=1)))


def wrong_norm(patch: Patch) -> None:
    """Direct effects go through the final norm as it would scale another stream."""
    right = Engine.direct_logit
    patch.setattr(
        Engine,
        "direct_logit",
        lambda self, parts, resid, ids, **rest: right(self, parts, resid * 2 + 0.1, ids, **rest),
    )


def stream_read_later(patch: Patch) -> None:
    """The stream between attention and MLP is taken after the MLP."""
    right = Engine.prefill

    def wrong(self: Engine, *arguments: Any) -> Any:
        found = right(self, *arguments)
        return replace(found, resid_mid_all=found.need("resid_all")[1:])

    patch.setattr(Engine, "prefill", wrong)


def layers_mixed_up(patch: Patch) -> None:
    """Attention outputs are computed with the next layer's queries."""
    right = Engine.attention_outputs
    patch.setattr(Engine, "attention_outputs", lambda self, base, cache, layer: right(
        self, base, cache, (layer + 1) % self.spec.n_layers))  # fmt: skip


def another_beginning(patch: Patch) -> None:
    """Every second prompt that is run begins with another token."""
    right, runs = Engine.prefill, []

    def wrong(self: Engine, ids: Any, *arguments: Any) -> Any:
        runs.append(ids)
        return right(self, ids if len(runs) % 2 else (ids[0], ids[1] + 1, *ids[2:]), *arguments)

    patch.setattr(Engine, "prefill", wrong)


def set_for_add(patch: Patch) -> None:
    """Residual edits overwrite the stream instead of adding to it."""
    right = Engine.rerun

    def wrong(self: Engine, base: Any, rows: Any, *arguments: Any) -> Any:
        turned = [
            tuple(replace(e, mode="set") if isinstance(e, ResidualEdit) else e for e in row) for row in rows
        ]
        return right(self, base, turned, *arguments)

    patch.setattr(Engine, "rerun", wrong)


def values_shifted(patch: Patch) -> None:
    """Text is run after a cache whose values stand one column further on than their keys."""
    right = Runner.extend

    def wrong(self: Runner, cache: FrozenCache, ids: Any) -> Any:
        return right(self, FrozenCache(cache.keys, tuple(value.roll(1, 2) for value in cache.values)), ids)

    patch.setattr(Runner, "extend", wrong)


def another_cache_opened(patch: Patch) -> None:
    """A traced decision reads values that stand one column further on than its state's."""
    right = Engine.open

    def wrong(self: Engine, ids: Any, cache: FrozenCache, *arguments: Any, **named: Any) -> Any:
        rolled = FrozenCache(cache.keys, tuple(value.roll(1, 2) for value in cache.values), cache.regime)
        return right(self, ids, rolled, *arguments, **named)

    patch.setattr(Engine, "open", wrong)


def unscaled_weights(patch: Patch) -> None:
    """The decision token's weights are kept as they would be with half of the factor on scores."""
    prefill = importlib.import_module("pkv_interp.engine.prefill")
    right = prefill.decision_weights
    patch.setattr(
        prefill,
        "decision_weights",
        lambda query, key, scaling, *more: right(query, key, scaling / 2.0, *more),
    )


def wrong_rotation(patch: Patch) -> None:
    """Keys are turned and stretched."""
    reposition = importlib.import_module("pkv_interp.cache.reposition")
    right = reposition.turn
    patch.setattr(reposition, "turn", lambda key, *how: right(key, *how) * 1.01)


def without_context(patch: Patch) -> None:
    """Chunks that were asked for after their context are made alone."""
    from pkv_interp.measure import splices

    patch.setattr(
        splices, "precompile", lambda runner, tokenizer, ids, **_: precompile(runner, tokenizer, ids)
    )


def repairs_one_token(patch: Patch) -> None:
    """A repair of the whole chunk repairs its first token."""
    from experiments.composing import checks

    patch.setattr(
        checks, "link_repair", lambda runner, cache, spans, ids, _k: link_repair(runner, cache, spans, ids, 1)
    )


def tools_that_take_all(patch: Patch) -> None:
    """Tools act whatever the state is."""
    patch.setattr(world.World, "call", lambda _self, _tool, record: world.Outcome(True, f"{record}: done."))


def tools_that_refuse_all(patch: Patch) -> None:
    """Tools refuse whatever the state is."""
    patch.setattr(
        world.World, "call", lambda _self, _tool, record: world.Outcome(False, f"{record}: refused.")
    )


def edit_stays(patch: Patch) -> None:
    """Weights do not come back after an edit."""
    from contextlib import contextmanager

    from pkv_interp.weight_editing import rome

    @contextmanager
    def wrong(self: rome.RankOneEdit, model: Any) -> Any:
        with torch.no_grad():
            down_projection(model, self.layer).weight.add_(self.delta)
        yield

    patch.setattr(rome.RankOneEdit, "applied", wrong)


def another_pair(patch: Patch) -> None:
    """Positions are named by the pair of another instance."""
    from pkv_interp.measure.edit_scenes import SceneSource

    right = SceneSource.matching_case
    patch.setattr(
        SceneSource, "matching_case", lambda self, one: right(self, replace(one, index=one.index + 1))
    )
