"""Episodes of the agent experiment, and every arm run over one of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from pkv_interp.agent import ARMS, Episode, EpisodeSizes, Step, Transcript, designs, episode, run_episode
from pkv_interp.agent.loop import Splice, right_action
from pkv_interp.agent.transcript import policy_span
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, seam_repair, splice
from pkv_interp.measure.timing import seconds
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import HELD_OUT, Style, families
from pkv_interp.tasks.wordings import RULES

if TYPE_CHECKING:
    from experiments.agent import AgentSettings

Chunk = dict[str, Any]


def style_of(settings: "AgentSettings") -> Style:
    """The experiment's prompt layout."""
    return Style(
        n_fillers=settings.n_fillers,
        field_late=settings.field_late,
        chat=settings.chat,
        thinking=settings.model.thinking,
    )


def build_episodes(settings: "AgentSettings", tokenizer: Any) -> list[Episode]:
    """Every domain's episodes, one domain after another; rule wordings go round."""
    chosen, wordings = families(settings.domains or HELD_OUT), list(RULES)
    dealt = designs(len(chosen) * settings.instances, settings.turns, settings.seed)
    return [
        episode(
            family,
            j,
            dealt[j * len(chosen) + at],
            tokenizer,
            sizes=EpisodeSizes(settings.turns, settings.n_fillers, settings.n_preface),
            wording=wordings[(at + j) % len(wordings)],
            seed=settings.seed,
        )
        for at, family in enumerate(chosen)
        for j in range(settings.instances)
    ]


def run_arms(runner: Runner, tokenizer: Any, one: Episode, settings: "AgentSettings") -> Chunk:
    """All arms over one episode, each with its own history and with the full arm's; and its controls.

    The policy's chunk is made before the first turn and its time is kept apart (``setup_ms``): one chunk
    serves every session of the domain.
    """
    opening = Transcript.open(one, style_of(settings))
    prompt = opening.prompt(tokenizer)
    scale = 1000 / _threads(runner)
    setup, joint = seconds(lambda: policy_splice(runner, tokenizer, prompt, settings), runner.model.device)
    own, matched = {}, {}
    for arm in ARMS:
        options: dict[str, Any] = {"erratum": settings.erratum, "splice": joint}
        own[arm.name] = run_episode(runner, opening, arm, tokenizer, **options)
        heard = [step.outcome for step in own["full"]]
        # An arm that heard the same from the tools has had the full arm's history all along.
        matched[arm.name] = (
            own[arm.name]
            if [step.outcome for step in own[arm.name]][:-1] == heard[:-1]
            else run_episode(runner, opening, arm, tokenizer, history=heard, **options)
        )
    return {
        "arms": {
            arm.name: {
                "right": [step.outcome.accepted for step in own[arm.name]],
                "margin": _towards_right(one, own[arm.name]),
                "greedy_right": [step.is_action and step.outcome.accepted for step in own[arm.name]],
                "matched_margin": _towards_right(one, matched[arm.name]),
                "tokens": [step.tokens for step in own[arm.name]],
                "length": [step.length for step in own[arm.name]],
                "ms": [step.seconds * scale for step in own[arm.name]],
            }
            for arm in ARMS
        },
        "setup_ms": setup * scale,
        "policy_tokens": policy_span(prompt)[1] - policy_span(prompt)[0],
        **_controls(runner, tokenizer, one, prompt, matched, settings),
    }


def policy_splice(
    runner: Runner, tokenizer: Any, prompt: Prompt, settings: "AgentSettings", *, in_place: bool = False
) -> Splice:
    """Precompile the prompt's policy; what comes back puts it behind a prefix and repairs its seam.

    Args:
        in_place: compute the chunk behind the prompt's own prefix: then splicing it there changes nothing.
    """
    start, end = policy_span(prompt)
    policy = prompt.ids[start:end]
    if in_place:
        chunk = precompile(runner, tokenizer, policy, context=prompt.ids[:start], sink="prefix")
    elif settings.sink == "prefix":  # the system message, which every session of the domain shares
        shared = prompt.ids[: prompt.kinds.index("session")]
        chunk = precompile(runner, tokenizer, policy, context=shared[:start], sink="prefix")
    else:
        chunk = precompile(runner, tokenizer, policy, sink=settings.sink)

    def put(prefix: FrozenCache) -> tuple[FrozenCache, int]:
        joined = splice(runner, prefix, chunk)
        if not settings.seam or in_place:
            return joined, 0
        again = min(settings.seam, len(policy))
        return seam_repair(runner, joined, (start, end), prompt.ids[:end], again).cache, again

    return put


def _controls(
    runner: Runner,
    tokenizer: Any,
    one: Episode,
    prompt: Prompt,
    matched: dict[str, list[Step]],
    settings: "AgentSettings",
) -> Chunk:
    """Largest difference in logits between arms that must be equal; what the tools do with stale actions."""
    same_text = [i for i, turn in enumerate(one.turns) if turn.value == one.turns[0].value]
    start, end = policy_span(prompt)
    put = policy_splice(runner, tokenizer, prompt, settings, in_place=True)
    spliced = runner.extend(put(runner.prefill(prompt.ids[:start]).cache)[0], prompt.ids[end:])
    stale, current, world = [], [], one.world()
    for turn, now in enumerate(one.turns):
        world.change(now.value)
        world.open(now.record)
        if now.value != one.turns[0].value:
            stale.append(not world.call(right_action(one, 0), now.record).accepted)
        current.append(world.call(right_action(one, turn), now.record).accepted)
    return {
        "stale_equals_full": _far(matched["stale"], matched["full"], same_text),
        "prefix_cache_equals_full": _far(matched["prefix_cache"], matched["full"], range(len(one.turns))),
        "splice_in_place": _apart(spliced.logits, matched["full"][0].logits),
        "stale_refused": sum(stale) / len(stale),
        "current_accepted": sum(current) / len(current),
    }


def _far(first: Sequence[Step], second: Sequence[Step], turns: Sequence[int]) -> float:
    return max(_apart(first[turn].logits, second[turn].logits) for turn in turns)


def _apart(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def _towards_right(one: Episode, steps: Sequence[Step]) -> list[float]:
    """Margins, positive where the action is the one that the policy calls for."""
    return [
        step.margin if right_action(one, turn) == one.actions[0] else -step.margin
        for turn, step in enumerate(steps)
    ]


def _threads(runner: Runner) -> int:
    """What the process's time is divided by to compare with a wall clock."""
    return torch.get_num_threads() if runner.model.device.type == "cpu" else 1
