"""The loop on tiny random models: which arms must be equal, and what each counts."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from pkv_interp.agent import Step, Transcript, open_transcript, run_episode
from pkv_interp.agent.arms import ARMS, COMPOSE_ONLY, FIELD_ERRATUM, FULL, PREFIX_CACHE, STALE, Arm
from pkv_interp.agent.loop import Splice
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import Style
from tests.agent.support import one

STYLE = Style(n_fillers=2)


def in_place(runner: Runner, opening: Transcript) -> Splice:
    """A splice that computes the policy where it goes: arms that compose then equal those that do not."""
    start, end = opening.policy

    def splice(prefix: FrozenCache) -> tuple[FrozenCache, int]:
        return runner.extend(prefix, opening.ids[start:end]).cache, 0

    return splice


def run(loaded: LoadedModel, arm: Arm, **options: object) -> tuple[Transcript, list[Step]]:
    runner = Runner.of(loaded.model)
    opening = open_transcript(one(tokenizer=loaded.tokenizer), STYLE, loaded.tokenizer)
    splice = in_place(runner, opening) if arm.composed else None
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
    history = [(step.action, step.outcome) for step in full]
    return {arm.name: run(tiny, arm, history=history)[1] for arm in ARMS}


def test_arms_are_equal_where_they_must_be(matched: dict[str, list[Step]]) -> None:
    full = matched["full"]
    # The state changes before the second turn: until then every arm has the same text.
    assert max(far(steps, full)[0] for steps in matched.values()) < 1e-4
    assert max(far(matched["prefix_cache"], full)) < 1e-4
    assert max(far(matched["unified"], matched["field_erratum"])) < 1e-4
    assert max(far(matched["compose_only"], matched["stale"])) < 1e-4
    # And back at the fourth turn, the stale arm's text is that of the full arm again.
    assert far(matched["stale"], full)[3] < 1e-4
    assert far(matched["stale"], full)[1] > 1e-3
    assert far(matched["field_only"], matched["stale"])[1] > 1e-6
    assert far(matched["erratum_only"], matched["stale"])[1] > 1e-3


def test_tools_answer_by_the_world_and_not_by_the_history(tiny: LoadedModel) -> None:
    opening, full = run(tiny, FULL)
    episode = opening.episode
    for turn, step in enumerate(full):
        right = episode.actions[0 if episode.turns[turn].value == episode.trigger else 1]
        assert step.outcome.accepted == (step.action == right)
        assert step.action == episode.actions[0 if step.margin > 0 else 1]


def test_tokens_are_those_that_were_run(tiny: LoadedModel) -> None:
    opening, full = run(tiny, FULL)
    history = [(step.action, step.outcome) for step in full]
    assert [step.tokens for step in full] == [step.length for step in full]
    start, end = opening.policy
    field = opening.field[1] - opening.field[0]
    _, cached = run(tiny, PREFIX_CACHE, history=history)
    grown = [b.length - a.length for a, b in zip(full, full[1:], strict=False)]
    # Unchanged at the third turn: the new tokens alone. Changed at the second and fourth: all from the field.
    assert cached[0].tokens == len(opening.ids)
    assert cached[2].tokens == grown[1]
    assert cached[1].tokens > full[1].length - opening.field[1]
    _, told = run(tiny, FIELD_ERRATUM, history=history)
    _, stale = run(tiny, STALE, history=history)
    assert [s.tokens for s in stale] == [len(opening.ids), *grown]
    assert told[2].tokens == stale[2].tokens
    assert told[1].tokens > stale[1].tokens + field
    _, composed = run(tiny, COMPOSE_ONLY, history=history)
    assert composed[0].tokens == len(opening.ids) - (end - start)
    assert all(step.seconds > 0 for step in composed)


def test_histories_are_the_arms_own_unless_given(tiny: LoadedModel) -> None:
    _, full = run(tiny, FULL)
    wrong = {a: b for a, b in zip(one().actions, one().actions[::-1], strict=True)}
    turned = [(wrong[step.action], step.outcome) for step in full]
    _, own = run(tiny, STALE)
    _, given = run(tiny, STALE, history=turned)
    assert torch.equal(own[0].logits, given[0].logits)
    assert far(own, given)[1] > 1e-3
