"""The controls of the experiment on memories: all pass as things are, and each fails where it should."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from experiments.memory import checks
from experiments.memory.agents import run_agent
from experiments.memory.checks import check_agents, check_memory
from experiments.memory.transplant import begun, compiled
from pkv_interp.cache.reposition import reposition
from pkv_interp.composing import join
from pkv_interp.measure.splices import first_keys_apart
from pkv_interp.memory import CompiledMemory
from pkv_interp.memory import splices as memory_splices
from pkv_interp.memory.splices import unturned
from tests.experiments.memory_examples import settings, someone, wording
from tests.experiments.noting import Break, Noting, repairs_one_token
from tests.families import tiny
from tests.hostile import sabotage


def noted() -> Noting:
    session: Any = Noting(settings=settings())
    check_memory(session, [someone()], wording())
    check_agents(session, [run_agent(someone(), 0, wording(), settings())])
    return session


def failed(how: Break) -> set[str]:
    """Controls that fail where something is broken."""
    with pytest.MonkeyPatch.context() as patch:
        how(patch)
        return {name for name, passed in noted().passed.items() if not passed}


def always_turned(patch: pytest.MonkeyPatch) -> None:
    """Keys that were not to be turned are turned all the same."""

    start = compiled(someone(), wording()).chunks[0].start

    def turned(caches: Any) -> Any:
        first, second = caches
        moved = reposition(tiny("llama").model, second, first.length - start, start=start)
        return join([first, moved])

    patch.setattr(memory_splices, "join", turned)


def updates(**other: str) -> Break:
    """Some methods of an update do what another one does; "" for nothing."""

    def how(patch: pytest.MonkeyPatch) -> None:
        right = CompiledMemory.update

        def update(
            self: CompiledMemory, setting: str, value: str, method: str = "recompile", **options: Any
        ) -> Any:
            called = other.get(method.replace("@", "_"), method)
            return right(self, setting, value, called, **options) if called else self

        patch.setattr(CompiledMemory, "update", update)

    return how


def two_violators(patch: pytest.MonkeyPatch) -> None:
    """Questions do not say what turns them to no."""
    right = checks.questions
    patch.setattr(
        checks,
        "questions",
        lambda *given, **more: [replace(one, violator=None) for one in right(*given, **more)],
    )


def other_text(patch: pytest.MonkeyPatch) -> None:
    """The text of a memory is not what is prefilled."""
    right = checks.memory_text
    patch.setattr(checks, "memory_text", lambda memory: f"{right(memory)}One line more.\n")


def test_all_pass_as_things_are() -> None:
    session = noted()
    assert len(session.passed) == 12
    assert all(session.passed.values()), session.passed
    assert 0.0 < session.floor < session.tolerance.logits


def test_each_splice_fails_where_what_it_is_about_is_broken() -> None:
    assert "memory_at_own_position" in failed(sabotage.without_context)
    assert "memory_run_anew" in failed(repairs_one_token)
    assert "turned_keys" in failed(sabotage.wrong_rotation)
    assert "unturned_keys_show" in failed(always_turned)
    assert "prefix_cache_equals_prefill" in failed(sabotage.values_shifted)


def test_each_edit_fails_where_it_is_another_one() -> None:
    assert "recompiled_equals_written" in failed(updates(recompile="in_place"))
    assert "all_recomputed_equals_written" in failed(updates(recompute_all="recompute@1"))
    assert "edited_setting_equals_written" in failed(updates(in_place=""))
    assert "edit_moves_nothing_else" in failed(updates(in_place="recompute@4"))


def test_golds_and_tokens_fail_where_they_are_of_another_text() -> None:
    assert "golds_follow_from_the_text" in failed(two_violators)
    assert "same_tokens" in failed(other_text)


def test_the_arm_without_rotation_has_its_memory_where_its_keys_do_not_say() -> None:
    opening, memory = begun(wording(), wording().opening), compiled(someone(), wording())
    spliced, other = opening.attach(memory), unturned(opening, memory)
    assert spliced.ids == other.ids
    assert spliced.cache is not None
    assert other.cache is not None
    assert first_keys_apart(other.cache, spliced.cache) > 0.01
    for mine, theirs in zip(other.cache.values, spliced.cache.values, strict=True):
        assert torch.equal(mine, theirs)
