"""The loop on tiny random models: which arms must be equal, and what each counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from pkv_interp.agent import Outcome, Step, Transcript, run_episode
from pkv_interp.agent.arms import ARMS, FULL, STALE, Arm
from pkv_interp.agent.loop import Splice
from pkv_interp.agent.transcript import field_span, policy_span
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import Style
from tests.agent.support import one

STYLE = Style(n_fillers=2)


def in_place(runner: Runner, prompt: Prompt) -> Splice:
    """A splice that computes the policy where it goes: arms that compose then equal those that do not."""
    start, end = policy_span(prompt)

    def splice(prefix: FrozenCache) -> tuple[FrozenCache, int]:
        return runner.extend(prefix, prompt.ids[start:end]).cache, 0

    return splice


def run(loaded: LoadedModel, arm: Arm, **options: object) -> tuple[Transcript, list[Step]]:
    runner = Runner.of(loaded.model)
    opening = Transcript.open(one(tokenizer=loaded.tokenizer), STYLE)
    splice = in_place(runner, opening.prompt(loaded.tokenizer)) if arm.composed else None
    steps = run_episode(
        runner, opening, arm, loaded.tokenizer, erratum="override", splice=splice, **options  # type: ignore[arg-type]
    )  # fmt: skip
    return opening, steps


def far(first: Sequence[Step], second: Sequence[Step]) -> list[float]:
    return [float((a.logits - b.logits).abs().max()) for a, b in zip(first, second, strict=True)]


@pytest.fixture
def matched(tiny: LoadedModel) -> dict[str, list[Step]]:
    """Every arm at the full arm's history."""
    _, full = run(tiny, FULL)
    history = [step.outcome for step in full]
    return {arm.name: run(tiny, arm, history=history)[1] for arm in ARMS}


def test_arms_are_equal_where_they_must_be(tiny: LoadedModel, matched: dict[str, list[Step]]) -> None:
    full = matched["full"]
    # The state changes before the second turn: until then every arm has the same text.
    assert max(far(steps, full)[0] for steps in matched.values()) < 1e-4
    assert max(far(matched["prefix_cache"], full)) < 1e-4
    assert max(far(matched["unified"], matched["field_erratum"])) < 1e-4
    assert max(far(matched["compose_only"], matched["stale"])) < 1e-4
    # And back at the fourth turn, the stale arm's text is that of the full arm again.
    assert far(matched["stale"], full)[3] < 1e-4
    assert far(matched["erratum_only"], matched["stale"])[1] > 1e-3
    if all(window is None for window in Runner.of(tiny.model).windows):  # else the field is out of sight
        assert far(matched["stale"], full)[1] > 1e-3
        assert far(matched["field_only"], matched["stale"])[1] > 1e-6
        # What the field's refresh left stale stays stale.
        assert far(matched["field_only"], full)[1] > 1e-6


def test_tools_answer_by_the_world_and_not_by_the_history(tiny: LoadedModel) -> None:
    opening, full = run(tiny, FULL)
    episode = opening.episode
    for turn, step in enumerate(full):
        right = episode.actions[0 if episode.turns[turn].value == episode.trigger else 1]
        assert step.outcome.accepted == (step.action == right)
        assert step.action == episode.actions[0 if step.margin > 0 else 1]


def test_tokens_are_those_that_were_run(tiny: LoadedModel) -> None:
    opening, full = run(tiny, FULL)
    history = [step.outcome for step in full]
    prompt = opening.prompt(tiny.tokenizer)
    (start, end), field = policy_span(prompt), field_span(opening, tiny.tokenizer)
    asked = [len(prompt) - prompt.spans["conversation"][0]]
    assert [step.tokens for step in full] == [step.length for step in full]

    tokens = {arm.name: [step.tokens for step in run(tiny, arm, history=history)[1]] for arm in ARMS}
    assert tokens["prefix_cache"][0] == tokens["stale"][0] == len(prompt)
    assert tokens["unified"][0] == tokens["compose_only"][0] == len(prompt) - (end - start)
    # Unchanged at the third turn: the last line and the question alone.
    assert tokens["prefix_cache"][2] == tokens["stale"][2] == tokens["unified"][2]
    assert asked[0] < tokens["stale"][2] < asked[0] + 20
    # Changed at the second and fourth: everything from the field on, or the field and one line more.
    for turn in (1, 3):
        assert full[turn].length - field[1] < tokens["prefix_cache"][turn] <= full[turn].length - field[0]
        assert tokens["field_only"][turn] == tokens["stale"][turn] + field[1] - field[0]
        assert tokens["field_erratum"][turn] == tokens["erratum_only"][turn] + field[1] - field[0]
        assert tokens["erratum_only"][turn] > tokens["stale"][turn]


def test_histories_are_the_arms_own_unless_given(tiny: LoadedModel) -> None:
    opening, own = run(tiny, STALE)
    records = [turn.record for turn in opening.episode.turns]
    turned = [
        Outcome(not step.outcome.accepted, f"{record}: {'refused' if step.outcome.accepted else 'done'}.")
        for step, record in zip(own, records, strict=True)
    ]
    _, given = run(tiny, STALE, history=turned)
    _, same = run(tiny, STALE, history=[step.outcome for step in own])
    assert max(far(own, same)) == 0.0
    assert torch.equal(own[0].logits, given[0].logits)
    assert far(own, given)[1] > 1e-4
    # The tools answer what was decided, whatever the log says.
    assert given[0].outcome == own[0].outcome
