"""The controls of the experiment on LoCoMo: all pass as things are, and each fails where it should."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from experiments.locomo import answers
from experiments.locomo.arms import compiled, run_history
from experiments.locomo.cases import Wording, histories
from experiments.locomo.checks import check_splices
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.reposition import reposition
from pkv_interp.composing import join
from pkv_interp.measure.splices import first_keys_apart
from pkv_interp.memory import Conversation
from pkv_interp.memory import splices as memory_splices
from pkv_interp.memory.splices import unturned
from tests.experiments.locomo_examples import made_up, settings
from tests.experiments.noting import Break, Noting, repairs_one_token
from tests.families import tiny
from tests.hostile import sabotage


def noted() -> Noting:
    made = histories(made_up(), settings())
    session: Any = Noting(loaded=tiny("llama"))
    wording = Wording.of(made[0].talk, session.loaded.tokenizer, settings())
    check_splices(session, made, wording)
    return session


def failed(how: Break) -> set[str]:
    """Controls that fail where something is broken."""
    with pytest.MonkeyPatch.context() as patch:
        how(patch)
        return {name for name, passed in noted().passed.items() if not passed}


def always_turned(patch: pytest.MonkeyPatch) -> None:
    """Keys that were not to be turned are turned all the same."""
    loaded = tiny("llama")
    start = compiled(loaded, ["Some session."]).chunks[0].start

    def turned(caches: Sequence[FrozenCache]) -> FrozenCache:
        whole, at = [caches[0]], caches[0].length
        for cache in caches[1:]:
            whole.append(reposition(loaded.model, cache, at - start, start=start))
            at += cache.length
        return join(whole)

    patch.setattr(memory_splices, "join", turned)


def numbers_left_out(patch: pytest.MonkeyPatch) -> None:
    """The scoring drops what is no letter, and with it answers that are a number."""
    patch.setattr(answers, "words", lambda text: [w for w in text.lower().split() if w.isalpha()])


def test_all_pass_as_things_are() -> None:
    session = noted()
    assert len(session.passed) == 6
    assert all(session.passed.values()), session.passed
    assert 0.0 < session.floor < session.tolerance.logits


def test_each_fails_where_what_it_is_about_is_broken() -> None:
    assert "session_at_own_position" in failed(sabotage.without_context)
    assert "whole_sessions_run_anew" in failed(repairs_one_token)
    assert "turned_keys" in failed(sabotage.wrong_rotation)
    assert "unturned_keys_show" in failed(always_turned)
    assert "extend_equals_prefill" in failed(sabotage.values_shifted)
    assert "gold_answers_are_right" in failed(numbers_left_out)


def test_the_arm_without_rotation_has_its_sessions_where_their_keys_do_not_say() -> None:
    loaded, asked = tiny("llama"), settings()
    one = histories(made_up(), asked)[0]
    memory = compiled(loaded, one.sessions)
    opening = Conversation.begin(loaded.model, loaded.tokenizer, "They talk.\n")
    spliced, other = opening.attach(memory), unturned(opening, memory)
    assert spliced.ids == other.ids
    assert spliced.cache is not None
    assert other.cache is not None
    assert first_keys_apart(other.cache, spliced.cache) > 0.01


def test_a_history_of_one_session_at_its_own_position_is_answered_as_by_a_full_prefill(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Spliced after what it was made after: every score and every logit must be the full prefill's."""
    from experiments.locomo import arms
    from pkv_interp.composing import precompile
    from pkv_interp.memory.block import CompiledBlock

    loaded, asked = tiny("llama"), settings("sessions=1")
    one = histories(made_up(), asked)[0]
    wording = Wording.of(one.talk, loaded.tokenizer, asked)
    before = wording.head.prompt.ids

    def found() -> Any:
        return run_history(one, loaded, wording, asked).asked[0]

    apart = found()
    assert apart.agreement["spliced"].largest > 1e-3

    def after_its_context(block: CompiledBlock) -> Any:
        runner = block.state.context.runner
        return precompile(runner, loaded.tokenizer, block.ids, context=before, sink="prefix")

    monkeypatch.setattr(CompiledBlock, "chunk", property(after_its_context))
    own = found()
    assert arms.FULL not in own.agreement
    assert own.agreement["spliced"].largest < 1e-4
    assert own.answers["spliced"] == own.answers["full"]
