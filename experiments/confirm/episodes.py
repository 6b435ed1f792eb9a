"""Episodes of the unified arm and of a plain prefix cache, as in the experiment on agents."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from experiments.confirm.about import About
from experiments.confirm.items import Play
from pkv_interp.agent import Episode, Step, Transcript, run_episode
from pkv_interp.agent.arms import FULL, PREFIX_CACHE, UNIFIED
from pkv_interp.agent.loop import Splice, right_action
from pkv_interp.agent.transcript import policy_span
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, splice
from pkv_interp.measure.competence import Decision
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import Scenarios

ARMS = (FULL, PREFIX_CACHE, UNIFIED)
ERRATUM = "tagged"


@dataclass(frozen=True)
class ArmTurns:
    """One arm over the turns of one episode, at its own history.

    Attributes:
        right: the tool did what the arm called it for.
        tokens: run through the model for the turn.
        ms: milliseconds until the first token; on a CPU the process's own time over its threads.
    """

    right: Bool[np.ndarray, " turns"]
    tokens: Int[np.ndarray, " turns"]
    ms: Float[np.ndarray, " turns"]


@dataclass(frozen=True)
class EpisodeScores:
    """One episode.

    Attributes:
        decisions: of the full arm, by turn.
        arms: by name.
        prefix_cache_equals_full: largest difference in logits over all turns that are told; None where a
            router ties at every turn, so that rounding chooses the experts.
        splice_in_place: the same when the policy, computed after its own prefix, is put back there.
        stale_refused: share of actions that were right before the change which the tools refuse after it.
        current_accepted: share of actions that are right now which the tools accept.
    """

    about: About
    decisions: list[Decision]
    arms: dict[str, ArmTurns]
    prefix_cache_equals_full: float | None
    splice_in_place: float | None
    stale_refused: float
    current_accepted: float


def play(runner: Runner, tokenizer: Any, one: Play, world: Scenarios, tie: float) -> EpisodeScores:
    """Three arms over one episode.

    Args:
        runner: of the model.
        tokenizer: of the model.
        one: the episode.
        world: that it was made from.
        tie: logits of two experts closer than this are a tie.
    """
    episode = one.episode
    opening = Transcript.open(episode, one.style, world)
    prompt = opening.prompt(tokenizer)
    options: dict[str, Any] = {"erratum": ERRATUM, "splice": policy_splice(runner, tokenizer, prompt)}
    steps = {arm.name: run_episode(runner, opening, arm, tokenizer, **options) for arm in ARMS}
    full, cached = steps[FULL.name], steps[PREFIX_CACHE.name]
    heard = [step.outcome for step in full]
    if [step.outcome for step in cached][:-1] != heard[:-1]:
        cached = run_episode(runner, opening, PREFIX_CACHE, tokenizer, history=heard, **options)
    told = [turn for turn, step in enumerate(full) if step.tie > tie]
    refused, accepted = _tools(episode)
    back = runner.extend(spliced_in_place(runner, tokenizer, prompt), prompt.ids[policy_span(prompt)[1] :])
    threads = torch.get_num_threads() if runner.model.device.type == "cpu" else 1
    return EpisodeScores(
        about=About(episode.family.name, episode.instance, episode.wording, str(one.style.layout)),
        decisions=[_decision(episode, turn, step) for turn, step in enumerate(full)],
        arms={name: _turns(mine, 1000 / threads) for name, mine in steps.items()},
        prefix_cache_equals_full=max((_apart(full[t].logits, cached[t].logits) for t in told), default=None),
        splice_in_place=_apart(back.logits, full[0].logits) if 0 in told else None,
        stale_refused=refused,
        current_accepted=accepted,
    )


def policy_splice(runner: Runner, tokenizer: Any, prompt: Prompt) -> Splice:
    """Precompile the prompt's policy after the system message, which every session of the domain shares."""
    start, end = policy_span(prompt)
    shared = prompt.ids[: prompt.kinds.index("session")]
    chunk = precompile(runner, tokenizer, prompt.ids[start:end], context=shared[:start], sink="prefix")
    return lambda prefix: (splice(runner, prefix, chunk), 0)


def spliced_in_place(runner: Runner, tokenizer: Any, prompt: Prompt) -> FrozenCache:
    """The prompt up to its policy's end, the policy precompiled after the same prefix: nothing may change."""
    start, end = policy_span(prompt)
    before = prompt.ids[:start]
    chunk = precompile(runner, tokenizer, prompt.ids[start:end], context=before, sink="prefix")
    return splice(runner, runner.prefill(before).cache, chunk)


def _tools(episode: Episode) -> tuple[float, float]:
    """Shares of stale actions that the tools refuse, and of current ones that they accept."""
    world = episode.world()
    stale, current = [], []
    for turn, now in enumerate(episode.turns):
        world.change(now.value)
        world.open(now.record)
        if now.value != episode.turns[0].value:
            stale.append(not world.call(right_action(episode, 0), now.record).accepted)
        current.append(world.call(right_action(episode, turn), now.record).accepted)
    return sum(stale) / len(stale), sum(current) / len(current)


def _decision(episode: Episode, turn: int, step: Step) -> Decision:
    towards = step.margin if right_action(episode, turn) == episode.actions[0] else -step.margin
    right = step.outcome.accepted
    match = episode.turns[turn].value == episode.trigger
    name = f"{episode.instance}-{turn}"
    return Decision(episode.family.name, name, match, towards, right, step.is_action and right)


def _turns(steps: Sequence[Step], scale: float) -> ArmTurns:
    return ArmTurns(
        right=np.array([step.outcome.accepted for step in steps], bool),
        tokens=np.array([step.tokens for step in steps], np.int64),
        ms=np.array([step.seconds * scale for step in steps], float),
    )


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())
