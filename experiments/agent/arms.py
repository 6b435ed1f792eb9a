"""Every arm run over one episode, each with its own history and with the full arm's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from experiments.agent.settings import AgentSettings
from experiments.agent.splicing import policy_splice, spliced_in_place
from pkv_interp.agent import ARMS, Episode, Step, Transcript, run_episode
from pkv_interp.agent.arms import COMPOSE_ONLY, FIELD_ONLY, FULL
from pkv_interp.agent.loop import right_action
from pkv_interp.agent.transcript import attention_of, policy_span
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.timing import seconds
from pkv_interp.tasks import Style


@dataclass(frozen=True)
class ArmTurns:
    """One arm over the turns of one episode; margins in logits, positive towards the right action.

    Attributes:
        right: the tool did what the arm called it for, at the arm's own history.
        greedy_right: greedy decoding would have called it as well.
        margin: at the arm's own history.
        matched_margin: at the full arm's history.
        tokens: run through the model for the turn.
        length: tokens of the prompt.
        ms: milliseconds until the first token; on a CPU the process's own time over its threads.
    """

    right: Bool[np.ndarray, " turns"]
    greedy_right: Bool[np.ndarray, " turns"]
    margin: Float[np.ndarray, " turns"]
    matched_margin: Float[np.ndarray, " turns"]
    tokens: Int[np.ndarray, " turns"]
    length: Int[np.ndarray, " turns"]
    ms: Float[np.ndarray, " turns"]


@dataclass(frozen=True)
class Checks:
    """What must be so in every episode.

    Attributes:
        stale_equals_full: largest difference in logits at turns whose value is the first one.
        prefix_cache_equals_full: largest difference in logits over all turns.
        splice_in_place: largest difference in logits when the policy, computed after its own prefix, is put
            back there.
        tied: turns left out of these differences, at which experts are chosen by rounding; they are None
            where no turn is left.
        stale_refused: share of actions that were right before the change which the tools refuse after it.
        current_accepted: share of actions that are right now which the tools accept.
        field_only_equals_full: under a pattern, largest difference in logits over all turns: an isolated
            field's refresh is exact.
        blind_splice_equals_prefill: under a pattern, of the first turn with a composed policy, in logits.
    """

    stale_equals_full: float | None
    prefix_cache_equals_full: float | None
    splice_in_place: float | None
    stale_refused: float
    current_accepted: float
    tied: int = 0
    field_only_equals_full: float | None = None
    blind_splice_equals_prefill: float | None = None


@dataclass(frozen=True)
class EpisodeRun:
    """One episode.

    Attributes:
        arms: by name.
        setup_ms: milliseconds that the policy's chunk took once; it serves every session of the domain.
        policy_tokens: tokens of the policy.
        checks: what must be so.
    """

    arms: dict[str, ArmTurns]
    setup_ms: float
    policy_tokens: int
    checks: Checks


def run_arms(
    runner: Runner,
    tokenizer: Any,
    one: Episode,
    style: Style,
    settings: AgentSettings,
    tie: float = 0.0,
) -> EpisodeRun:
    """All arms over one episode, and its checks; the policy's chunk is made before the first turn.

    Args:
        runner: the model.
        tokenizer: of the model.
        one: the episode.
        style: the prompt layout.
        settings: of the chunk and the erratum.
        tie: logits of two experts closer than this are a tie.
    """
    pattern = settings.model.pattern
    opening = Transcript.open(one, style, settings.world, pattern)
    prompt = opening.prompt(tokenizer)
    scale = 1000 / _threads(runner)
    setup, joint = seconds(lambda: policy_splice(runner, tokenizer, prompt, settings), runner.model.device)
    own, matched = dict[str, list[Step]](), dict[str, list[Step]]()
    for arm in ARMS:
        options: dict[str, Any] = {"erratum": settings.erratum, "splice": joint}
        steps = own[arm.name] = run_episode(runner, opening, arm, tokenizer, **options)
        heard = [step.outcome for step in own[FULL.name]]
        # An arm whose tools answered the same has had the full arm's history all along.
        matched[arm.name] = (
            steps
            if [step.outcome for step in steps][:-1] == heard[:-1]
            else run_episode(runner, opening, arm, tokenizer, history=heard, **options)
        )
    start, end = policy_span(prompt)
    whole, composed = (attention_of(prompt, pattern, composed=on) for on in (False, True))
    spliced = runner.extend(spliced_in_place(runner, tokenizer, prompt, whole), prompt.ids[end:])
    first = matched[COMPOSE_ONLY.name][0].logits
    blind = None if pattern is None else _apart(runner.prefill(prompt.ids, composed).logits, first)
    return EpisodeRun(
        {arm.name: _turns(one, own[arm.name], matched[arm.name], scale) for arm in ARMS},
        setup * scale,
        end - start,
        _checks(
            one,
            matched,
            {"splice_in_place": _apart(spliced.logits, matched[FULL.name][0].logits), "blind": blind},
            tie,
            exact=pattern is not None,
        ),
    )


def _turns(one: Episode, own: Sequence[Step], matched: Sequence[Step], scale: float) -> ArmTurns:
    return ArmTurns(
        right=np.array([step.outcome.accepted for step in own], bool),
        greedy_right=np.array([step.is_action and step.outcome.accepted for step in own], bool),
        margin=_towards_right(one, own),
        matched_margin=_towards_right(one, matched),
        tokens=np.array([step.tokens for step in own], np.int64),
        length=np.array([step.length for step in own], np.int64),
        ms=np.array([step.seconds * scale for step in own], float),
    )


def _checks(
    one: Episode,
    matched: dict[str, list[Step]],
    first: dict[str, float | None],
    tie: float,
    *,
    exact: bool,
) -> Checks:
    """How far arms that must be equal differ, and what the tools do with stale actions.

    Args:
        one: the episode.
        matched: the turns of every arm at the full arm's history.
        first: how far the first turn is off where its policy was spliced in, by check.
        tie: a turn with a choice of experts closer than this is not compared.
        exact: the field is isolated.
    """
    # The full arm runs the whole prompt at every turn, so that it meets every tie that another arm can meet.
    told = [i for i, step in enumerate(matched[FULL.name]) if step.tie > tie]
    same_text = [i for i in told if one.turns[i].value == one.turns[0].value]
    stale, current, world = [], [], one.world()
    for turn, now in enumerate(one.turns):
        world.change(now.value)
        world.open(now.record)
        if now.value != one.turns[0].value:
            stale.append(not world.call(right_action(one, 0), now.record).accepted)
        current.append(world.call(right_action(one, turn), now.record).accepted)
    full = matched[FULL.name]
    return Checks(
        stale_equals_full=_far(matched["stale"], full, same_text),
        prefix_cache_equals_full=_far(matched["prefix_cache"], full, told),
        splice_in_place=first["splice_in_place"] if 0 in told else None,
        stale_refused=sum(stale) / len(stale),
        current_accepted=sum(current) / len(current),
        tied=len(one.turns) - len(told),
        field_only_equals_full=_far(matched[FIELD_ONLY.name], full, told) if exact else None,
        blind_splice_equals_prefill=first["blind"] if 0 in told else None,
    )


def _far(first: Sequence[Step], second: Sequence[Step], turns: Sequence[int]) -> float | None:
    return max((_apart(first[turn].logits, second[turn].logits) for turn in turns), default=None)


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def _towards_right(one: Episode, steps: Sequence[Step]) -> np.ndarray:
    """Margins [turns], positive where the action is the one that the policy calls for."""
    return np.array(
        [
            step.margin if right_action(one, turn) == one.actions[0] else -step.margin
            for turn, step in enumerate(steps)
        ],
        float,
    )


def _threads(runner: Runner) -> int:
    """What the process's time is divided by to compare with a wall clock."""
    return torch.get_num_threads() if runner.model.device.type == "cpu" else 1
