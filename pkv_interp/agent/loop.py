"""The agent loop: decide, act, read the tool's answer, meet a changed state, decide again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float
from torch import Tensor

from pkv_interp.agent.arms import Arm
from pkv_interp.agent.episodes import Episode
from pkv_interp.agent.transcript import Span, Transcript, attention_of, field_span, policy_span
from pkv_interp.agent.world import Outcome
from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.routing import closest_choice
from pkv_interp.editing.attention import own_and_links
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import Prompt

#: Puts a precompiled policy after a prefix; the tokens it ran again are counted.
Splice = Callable[[FrozenCache], tuple[FrozenCache, int]]


@dataclass(frozen=True, eq=False)
class Step:
    """One turn of one arm.

    Attributes:
        action: what was decided, by the two actions' logits.
        margin: logit of the episode's first action minus the second's.
        is_action: whether greedy decoding would have taken one of the two.
        outcome: what the tool said.
        logits: after the decision token, in float32.
        tokens: run through the model for this turn, until the first token of the answer.
        length: of the prompt.
        seconds: until the first token; on a CPU the process's own time.
        tie: the closest choice of experts in this turn's forwards (`closest_choice`); infinite without any.
    """

    action: str
    margin: float
    is_action: bool
    outcome: Outcome
    logits: Float[Tensor, " vocab"]
    tokens: int
    length: int
    seconds: float
    tie: float = float("inf")


@dataclass(frozen=True, eq=False)
class _Kept:
    """A prompt that was computed; the next turn keeps what it has in common with it."""

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
    history: Sequence[Outcome] | None = None,
) -> list[Step]:
    """Run one episode in one arm.

    Args:
        runner: the model.
        opening: the first turn.
        arm: how the cache is kept up with the world.
        tokenizer: of the model.
        erratum: wording of the erratum, appended at each change by arms that use errata.
        splice: puts the precompiled policy in place; used by arms that compose.
        history: outcomes to write into the log in place of the arm's own, so that arms can be compared at
            equal history; the arm's own decisions are still put to the tools.
    """
    episode, transcript, kept = opening.episode, opening, None
    world, steps, field = episode.world(), list[Step](), field_span(opening, tokenizer)
    for turn, now in enumerate(episode.turns):
        if turn:
            world.change(now.value)
            heard = steps[-1].outcome if history is None else history[turn - 1]
            transcript = transcript.then(heard, erratum if arm.erratum and episode.changed(turn) else None)
        if arm.current:
            transcript = transcript.stating(now.value)
        world.open(now.record)
        prompt = transcript.prompt(tokenizer)
        layout = attention_of(prompt, opening.pattern, composed=arm.composed)
        with closest_choice(runner.model) as tie:
            took, (done, tokens) = seconds(
                lambda p=prompt, k=kept, a=layout: (
                    _first(runner, p, arm, splice, a) if k is None else _next(runner, p.ids, arm, k, field, a)
                ),
                runner.model.device,
            )
        kept = _Kept(prompt.ids, done.cache)
        ids = action_ids(prompt, episode.actions, tokenizer)
        margin = float(token_margin(done.logits, ids))
        action = episode.actions[0 if margin > 0 else 1]
        steps.append(
            Step(
                action,
                margin,
                int(done.logits.argmax()) in ids,
                world.call(action, now.record),
                done.logits,
                tokens,
                len(prompt),
                took,
                tie.gap,
            )
        )
    return steps


def _first(
    runner: Runner, prompt: Prompt, arm: Arm, splice: Splice | None, layout: AttentionLayout | None
) -> tuple[Computed, int]:
    """The first turn's cache and logits, and how many tokens were run."""
    ids = prompt.ids
    if not arm.composed or splice is None:
        return runner.prefill(ids, layout), len(ids)
    start, end = policy_span(prompt)
    before = None if layout is None else layout.within(0, start)
    composed, again = splice(runner.prefill(ids[:start], before).cache)
    if layout is not None:
        composed = replace(composed, layout=layout)  # of the whole prompt: the field may come after the chunk
    return runner.extend(composed, ids[end:]), start + again + len(ids) - end


def _next(
    runner: Runner,
    ids: tuple[int, ...],
    arm: Arm,
    kept: _Kept,
    field: Span,
    layout: AttentionLayout | None,
) -> tuple[Computed, int]:
    """A later turn's cache and logits, and how many tokens were run."""
    if arm.reprefill == "all":
        return runner.prefill(ids, layout), len(ids)
    cache, before, refreshed = kept.cache, kept.ids, 0
    value = ids[field[0] : field[1]]
    if arm.refresh and before[field[0] : field[1]] != value:
        before = (*before[: field[0]], *value, *before[field[1] :])
        again = own_and_links(layout, tuple(range(*field)))
        cache, refreshed = runner.recompute(cache, again, [before[at] for at in again]).cache, len(again)
    same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
    if layout is not None and cache.layout is not None:
        same = min(same, cache.layout.end)  # the turn's request has read the field; the log has not
        cache = replace(cache, layout=layout)
    return runner.extend(cache.slice(0, same), ids[same:]), refreshed + len(ids) - same


def right_action(episode: Episode, turn: int) -> str:
    """The action that the policy calls for at this turn."""
    return episode.actions[0 if episode.turns[turn].value == episode.trigger else 1]
