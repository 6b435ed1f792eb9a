"""From episodes to the record: controls, rows, tables and headline of the agent experiment."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._agent_turns import PHASES, Chunk, Turns, write_rows
from experiments._scores import point
from experiments._setup import TOLERANCE
from pkv_interp.agent import ARMS, Episode
from pkv_interp.agent.arms import ERRATUM_ONLY, FIELD_ERRATUM, FULL, UNIFIED
from pkv_interp.agent.episodes import first_places
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean, pairwise, ratio_of_means

if TYPE_CHECKING:
    from experiments.agent import AgentSettings

#: In float32 arms of the same text may differ by this much, in logits.
SAME_TEXT = 1e-4
#: Arms that are compared in pairs.
COMPARED = (FULL, UNIFIED, FIELD_ERRATUM, ERRATUM_ONLY)


def check(run: Run, chunks: Sequence[Chunk], dtype: str) -> None:
    """Controls: arms that are one must agree in logits, and tools must refuse what is stale."""
    logits = SAME_TEXT if dtype == "float32" else TOLERANCE[dtype][1]
    for name, what in (
        ("stale_equals_full", "turns whose value is the first one"),
        ("prefix_cache_equals_full", "all turns"),
        ("splice_in_place", "a policy computed behind its own prefix, put back there"),
    ):
        run.control(name, max(c[name] for c in chunks), 0.0, logits, f"largest difference in logits, {what}")
    for name, what in (
        ("stale_refused", "actions that were right before the change"),
        ("current_accepted", "actions that are right now"),
    ):
        run.control(name, min(c[name] for c in chunks), 1.0, 0.0, f"lowest share over episodes, {what}")


def summarise(
    run: Run, settings: "AgentSettings", episodes: Sequence[Episode], chunks: Sequence[Chunk]
) -> None:
    """Fill the record. What rests on decisions stays out of the headline of a model that failed the gate."""
    turns = Turns(settings, episodes, chunks)
    write_rows(run, turns)
    quantities: dict[str, Callable[[str], np.ndarray]] = {"success": turns.right, "agreement": turns.agrees}
    shares = {
        (arm.name, name, phase): turns.share(of(arm.name), turns.phases.get(phase))
        for arm in ARMS
        for name, of in quantities.items()
        for phase in ("all", *PHASES)
        if phase == "all" or turns.phases[phase].any()  # with few episodes none may change early
    }
    speed, cost = _cost(settings, episodes, chunks)
    run.tables |= {
        "phases": [point(e, arm=arm, quantity=q, phase=phase) for (arm, q, phase), e in shares.items()],
        "by_turn": [
            point(turns.share(of(arm.name), np.array([t == turn for _, t in turns.places])),
                  arm=arm.name, quantity=name, turn=turn + 1)
            for arm in ARMS
            for name, of in quantities.items()
            for turn in range(settings.turns)
        ],
        "cost": cost,
        "speed": [point(estimate, arm=arm, what=what) for (arm, what), estimate in speed.items()],
        "pairs": _pairs(turns),
        "design": [_design(episodes, chunks)],
    }  # fmt: skip
    gated = run.competence is not None and run.competence.passed
    for arm in ARMS:
        if gated:
            run.headline[f"success_{arm.name}"] = shares[arm.name, "success", "all"]
            run.headline[f"success_changed_{arm.name}"] = shares[arm.name, "success", "changed"]
            if arm is not FULL:
                run.headline[f"agreement_{arm.name}"] = shares[arm.name, "agreement", "all"]
        # Time to first token does not rest on decisions.
        if arm is not FULL:
            run.headline[f"ttft_speedup_{arm.name}"] = speed[arm.name, "seconds"]


def compare_layouts(
    run: Run,
    settings: "AgentSettings",
    episodes: Sequence[Episode],
    layouts: Mapping[str, Sequence[Chunk]],
) -> None:
    """Fill ``layouts``: the same episodes with the session block behind the policy and before it."""
    run.tables["layouts"] = [
        point(turns.share(of(arm.name), turns.phases.get(phase)),
              layout=layout, arm=arm.name, quantity=name, phase=phase)
        for layout, chunks in layouts.items()
        for turns in [Turns(settings, episodes, chunks)]
        for arm in ARMS
        for name, of in (("success", turns.right), ("agreement", turns.agrees))
        for phase in ("all", "changed")
    ]  # fmt: skip


def _cost(
    settings: "AgentSettings", episodes: Sequence[Episode], chunks: Sequence[Chunk]
) -> tuple[dict[tuple[str, str], Estimate], list[dict[str, Any]]]:
    """How many times less an arm takes than the full one, and both up to each turn, summed."""
    domains = [one.family.name for one in episodes]
    options: dict[str, Any] = {"seed": settings.seed, "draws": settings.bootstrap_draws}
    speed: dict[tuple[str, str], Estimate] = {}
    lines: list[dict[str, Any]] = []
    for arm in ARMS:
        sums = {
            (name, of): np.cumsum([c["arms"][of][name] for c in chunks], axis=1)
            for name in ("ms", "tokens")
            for of in (FULL.name, arm.name)
        }
        for what, name in (("seconds", "ms"), ("tokens", "tokens")):
            speed[arm.name, what] = ratio_of_means(
                sums[name, FULL.name][:, -1], sums[name, arm.name][:, -1], domains, **options
            )
        for turn in range(settings.turns):
            lines.append(
                point(
                    mean(sums["ms", arm.name][:, turn], domains, **options),
                    arm=arm.name,
                    turn=turn + 1,
                    tokens=float(sums["tokens", arm.name][:, turn].mean()),
                )
            )
    return speed, lines


def _pairs(turns: Turns) -> list[dict[str, Any]]:
    """Differences in success between arms, at turns whose value is not the first one."""
    keep = turns.phases["changed"]
    domains = [d for d, k in zip(turns.domains, keep, strict=True) if k]
    found = pairwise({a.name: turns.right(a.name)[keep] for a in COMPARED}, domains, **turns.options)
    return [
        point(p.difference, first=p.first, second=p.second, p_value=p.p_value, p_holm=p.p_holm) for p in found
    ]


def _design(episodes: Sequence[Episode], chunks: Sequence[Chunk]) -> dict[str, Any]:
    """What stands beside the figures: balance of menus and values, sizes, and what the chunk cost once."""
    right_first, at_trigger = first_places(episodes)
    return {
        "episodes": len(episodes),
        "turns": sum(len(one.turns) for one in episodes),
        "right_action_first_in_menu": right_first,
        "value_is_trigger": at_trigger,
        "changes_back": sum(sum(map(one.changed, range(len(one.turns)))) > 1 for one in episodes),
        "policy_tokens": float(np.mean([c["policy_tokens"] for c in chunks])),
        "prompt_tokens_last_turn": float(np.mean([c["arms"]["full"]["length"][-1] for c in chunks])),
        "chunk_setup_ms": float(np.mean([c["setup_ms"] for c in chunks])),
    }
