"""Controls that the confirmatory run shares by name with other experiments, measured by code of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from experiments.confirm.cases import Cases, build_cases
from experiments.confirm.edits import EditScores, edit_scene
from experiments.confirm.episodes import EpisodeScores, play
from experiments.confirm.items import SceneAndPair
from experiments.confirm.pairs import score_pair
from experiments.confirm.splices import SpliceChecks, check_moves
from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile
from pkv_interp.engine import Engine
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.tolerances import tolerance_of
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny
from tests.hostile import sabotage as s

ALLOWED = tolerance_of("float32")
LOGITS = ALLOWED.for_logits_of(4.0).logits
Patch = pytest.MonkeyPatch


@cache
def settings() -> Any:
    return compose("confirm", *runs.CONFIRM)


@cache
def cases() -> Cases:
    return build_cases(settings(), tiny("llama").tokenizer)


def runner() -> Runner:
    return Runner.of(tiny("llama").model)


def scene() -> SceneAndPair:
    return cases().field[0].edits[0]


def another_pair(patch: Patch) -> None:
    """The labels of a scene's positions are those of another instance."""
    wrong = replace(scene(), case=cases().field[2].case)
    patch.setattr("tests.hostile.test_confirm_controls.scene", lambda: wrong)


def edit() -> EditScores:
    return edit_scene(Engine(tiny("llama")), scene(), {}, 4)


def moves() -> SpliceChecks:
    return check_moves(runner(), tiny("llama").tokenizer, cases().moved[:1])


def episode() -> EpisodeScores:
    world = world_of(settings().scenarios)
    return play(runner(), tiny("llama").tokenizer, cases().episodes[0], world, 0.0)


def full_patch() -> float:
    found = score_pair(Engine(tiny("llama")), cases().field[0])
    return found.arms["full_patch"] - found.clean


def without_context(name: str) -> Callable[[Patch], None]:
    """Chunks that are to stand after their own prefix are made with nothing before them."""

    def broken(patch: Patch) -> None:
        patch.setattr(name, lambda runner, tokenizer, ids, **_: precompile(runner, tokenizer, ids))

    return broken


#: By control: how it is measured, where, and what it must notice.
TABLE: dict[str, tuple[Callable[[], Any], str | None, float, float, Callable[[Patch], None]]] = {
    "full_downstream": (full_patch, None, 0.0, 1e-3, s.wrong_donor),
    "positions_agree": (edit, "aligned", 1.0, 0.0, another_pair),
    "suffix_recompute_equals_full": (edit, "ends_apart", 0.0, LOGITS, s.values_shifted),
    "erratum_is_a_prefill": (edit, "prefill_difference", 0.0, LOGITS, s.values_shifted),
    "earlier_columns_kept": (edit, "earlier_columns_kept", 1.0, 0.0, s.values_shifted),
    "splice_at_own_position": (moves, "own_position", 0.0, LOGITS, s.without_context),
    "extend_equals_prefill": (moves, "noise", 0.0, LOGITS, s.values_shifted),
    "turned_keys": (moves, "turned", 0.0, ALLOWED.keys, s.wrong_rotation),
    "prefix_cache_equals_full": (episode, "prefix_cache_equals_full", 0.0, 1e-4, s.values_shifted),
    "splice_in_place": (
        episode,
        "splice_in_place",
        0.0,
        1e-4,
        without_context("experiments.confirm.episodes.precompile"),
    ),
    "stale_refused": (episode, "stale_refused", 1.0, 0.0, s.tools_that_take_all),
    "current_accepted": (episode, "current_accepted", 1.0, 0.0, s.tools_that_refuse_all),
}
as_things_are = cache(lambda measured: measured())


@pytest.mark.parametrize("name", TABLE)
def test_a_control_passes_as_things_are_and_fails_when_they_are_broken(name: str, monkeypatch: Patch) -> None:
    measured, field, expected, allowed, broken = TABLE[name]

    def missed(found: Any) -> float:
        return abs(float(found if field is None else getattr(found, field)) - expected)

    assert missed(as_things_are(measured)) <= allowed
    broken(monkeypatch)
    assert missed(measured()) > allowed
