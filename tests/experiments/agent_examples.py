"""A made-up agent whose success and cost are known, and the report of it."""

from __future__ import annotations

import numpy as np

from experiments.agent.arms import ArmTurns, Checks, EpisodeRun
from experiments.agent.cases import build_cases
from experiments.agent.measure import Measured
from experiments.agent.settings import AgentSettings
from experiments.agent.summary import summarise
from pkv_interp.agent import ARMS, Episode
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage, key_of
from tests.experiments.configs import compose
from tests.families import tiny

NAMES = [arm.name for arm in ARMS]
#: Milliseconds to the first token of a turn, and a tenth of its tokens, in the layout asked for; others: 3.
COST = {"full": 12.0, "prefix_cache": 6.0, "unified": 2.0}
#: In the other layout a prefix cache finds nothing to keep.
OTHER_COST = COST | {"prefix_cache": 12.0}


def small_settings() -> AgentSettings:
    """Settings of three short episodes a domain."""
    made = compose("agent", "instances=3", "turns=4", "n_fillers=0", "bootstrap_draws=200")
    assert isinstance(made, AgentSettings)
    return made


def episode_run(one: Episode, cost: dict[str, float], **broken: float) -> EpisodeRun:
    """An episode of a made-up model that decides by what its arm tells it, and by nothing else."""
    changed = np.array([turn.value != one.turns[0].value for turn in one.turns])
    right = dict.fromkeys(NAMES, np.ones(len(changed), bool))
    for name in ("field_only", "compose_only", "stale"):
        right[name] = ~changed
    right["erratum_only"] = ~changed | (one.family.name != "documents")

    def turns(name: str) -> ArmTurns:
        margin = np.where(right[name], 1.0, -1.0)
        took = cost.get(name, 3.0)
        return ArmTurns(
            right=right[name],
            greedy_right=right[name],
            margin=margin,
            matched_margin=margin,
            tokens=np.full(len(changed), int(10 * took)),
            length=np.full(len(changed), 120),
            ms=np.full(len(changed), took),
        )

    equal = dict.fromkeys(("stale_equals_full", "prefix_cache_equals_full", "splice_in_place"), 0.0)
    tools = dict.fromkeys(("stale_refused", "current_accepted"), 1.0)
    return EpisodeRun(
        {name: turns(name) for name in NAMES},
        setup_ms=5.0,
        policy_tokens=60,
        checks=Checks(**equal | tools | broken, tied=0),
    )


def summed(settings: AgentSettings, **broken: dict[str, float]) -> Report:
    """The report of the made-up model; ``asked`` and ``other`` break checks of the runs in that layout."""
    cases = build_cases(settings, tiny("llama").tokenizer)
    model: dict[str, str | int | float | bool | None] = {"dtype": "float32", "random_weights": False}
    head = Head(model, (), {}, environment())
    found = Measured(
        cases,
        Stage({key_of(one): episode_run(one, COST, **broken.get("asked", {})) for one in cases.all}),
        Stage(
            {
                key_of(one): episode_run(one, OTHER_COST, **broken.get("other", {}))
                for one in cases.both_layouts
            }
        ),
    )
    return summarise(found, Scoring(settings, head))
