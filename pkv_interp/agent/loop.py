"""The agent loop: decide, act, hear what the tool says, meet a changed state, decide again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pkv_interp.agent.arms import Arm
from pkv_interp.agent.episodes import Episode
from pkv_interp.agent.transcript import Transcript
from pkv_interp.agent.world import Outcome
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.measure.timing import seconds

#: Puts a precompiled policy behind a prefix; the tokens it ran again are counted.
Splice = Callable[[FrozenCache], tuple[FrozenCache, int]]


@dataclass(frozen=True, eq=False)
class Step:
    """One turn of one arm.

    Attributes:
        action: what was decided, by the two actions' logits.
        margin: logit of the episode's first action minus the second's.
        outcome: what the tool said.
        logits: after the decision token, in float32.
        tokens: run through the model for this turn, until the first token of the answer.
        length: of the prompt.
        seconds: until the first token; on a CPU the process's own time.
    """

    action: str
    margin: float
    outcome: Outcome
    logits: Float[Tensor, " vocab"]
    tokens: int
    length: int
    seconds: float


@dataclass(frozen=True, eq=False)
class _Kept:
    """What an arm keeps from one turn to the next."""

    ids: tuple[int, ...]
    cache: FrozenCache


def run_episode(
    runner: Runner,
    opening: Transcript,
    arm: Arm,
    tokenizer: Any,
    *,
    erratum: str,
    splice: Splice | None = None,
    history: Sequence[tuple[str, Outcome]] | None = None,
) -> list[Step]:
    """Run one episode in one arm.

    Args:
        opening: the first turn (``open_transcript``).
        erratum: key of `pkv_interp.tasks.wordings.UPDATES`, told at each change by arms that tell it.
        splice: puts the precompiled policy in place; used by arms that compose.
        history: actions and outcomes to write into the conversation in place of the arm's own, so that arms
            can be compared at equal history; the arm's own decisions are still put to the tools.
    """
    episode, transcript, kept = opening.episode, opening, None
    world, steps = episode.world(), list[Step]()
    for turn, now in enumerate(episode.turns):
        if turn:
            world.change(now.value)
            last = steps[-1]
            said, heard = (last.action, last.outcome) if history is None else history[turn - 1]
            told = erratum if arm.erratum and episode.changed(turn) else None
            transcript = transcript.then(turn, said, heard, told, tokenizer)
        if arm.current:
            transcript = transcript.stating(now.value)
        world.open(now.record)
        took, (done, tokens) = seconds(
            lambda t=transcript, k=kept: _advance(runner, t, arm, k, splice), runner.model.device
        )
        kept = _Kept(transcript.ids, done.cache)
        first, second = (float(done.logits[i]) for i in transcript.action_ids)
        action = episode.actions[0 if first > second else 1]
        steps.append(
            Step(
                action,
                first - second,
                world.call(action, now.record),
                done.logits,
                tokens,
                len(transcript.ids),
                took,
            )
        )
    return steps


def _advance(
    runner: Runner, transcript: Transcript, arm: Arm, kept: _Kept | None, splice: Splice | None
) -> tuple[Computed, int]:
    """The cache of this turn's prompt with the logits after its last token, and how many tokens were run."""
    ids = transcript.ids
    if kept is None and arm.composed and splice is not None:
        start, end = transcript.policy
        composed, again = splice(runner.prefill(ids[:start]).cache)
        return runner.extend(composed, ids[end:]), start + again + len(ids) - end
    if kept is None or arm.reprefill == "all":
        return runner.prefill(ids), len(ids)
    cache = kept.cache
    if arm.reprefill == "changed":
        same = next((i for i, (a, b) in enumerate(zip(kept.ids, ids, strict=False)) if a != b), cache.length)
        return runner.extend(cache.slice(0, same), ids[same:]), len(ids) - same
    stale = [i for i in range(cache.length) if kept.ids[i] != ids[i]]
    if stale:
        # The whole value, also where its tokens agree: they read one another.
        stale = list(range(*transcript.field))
        cache = runner.recompute(cache, stale, [ids[i] for i in stale]).cache
    return runner.extend(cache, ids[cache.length :]), len(stale) + len(ids) - cache.length


def right_action(episode: Episode, turn: int) -> str:
    """The action that the policy calls for at this turn."""
    return episode.actions[0 if episode.turns[turn].value == episode.trigger else 1]
