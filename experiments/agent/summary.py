"""From what the agent experiment measured to its report."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from experiments.agent.arms import Checks, EpisodeRun
from experiments.agent.compared import arm_pairs, unified_headlines
from experiments.agent.cost import Costs, costs
from experiments.agent.measure import Measured
from experiments.agent.settings import AgentSettings
from experiments.agent.tables import LAYOUTS, Design, LayoutShare, PhaseShare, TurnShare
from experiments.agent.turns import PHASES, Turns
from pkv_interp.agent import ARMS, Episode
from pkv_interp.agent.arms import FULL
from pkv_interp.agent.episodes import first_places
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate

#: In float32 arms of the same text may differ by this much, in logits.
SAME_TEXT = 1e-4
#: What each arm does, for its headline.
_WHAT = {
    "full": "everything prefilled again every turn, the current value in place",
    "prefix_cache": "prefilled from the first token that differs every turn",
    "unified": "policy spliced, field refreshed, errata, new turns prefilled",
    "field_erratum": "prefilled once, field refreshed, errata appended",
    "erratum_only": "prefilled once, errata appended",
    "field_only": "prefilled once, field refreshed, nothing told",
    "compose_only": "policy spliced, state never refreshed",
    "stale": "nothing is told",
}
#: Share of turns by arm, quantity and phase.
Shares = Mapping[tuple[str, str, str], Estimate]


def summarise(found: Measured, scoring: Scoring[AgentSettings]) -> Report:
    """Estimates, tables, rows and controls of a run."""
    cases, settings = found.cases, scoring.settings
    runs, other = found.episodes.of(cases.all), found.other_layout.of(cases.both_layouts)
    turns = Turns(cases.all, runs, scoring.resampling)
    gate = scoring.gate(turns.decisions(), settings.competence_threshold)
    shares, cost = _shares(turns), costs(cases.all, runs, scoring.resampling)
    pairs = arm_pairs(turns, LAYOUTS[settings.field_late])
    moved = Turns(cases.both_layouts, other, scoring.resampling) if other else None
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_headlines(shares, cost), *unified_headlines(turns, pairs)],
        tables=[
            gate.table,
            *(
                PhaseShare.of(share, arm=arm, quantity=quantity, phase=phase)
                for (arm, quantity, phase), share in shares.items()
            ),
            *_by_turn(turns, settings.turns),
            *cost.lines,
            *cost.speeds,
            *pairs,
            *(arm_pairs(moved, LAYOUTS[not settings.field_late]) if moved else ()),
            _design(cases.all, runs),
            *_layouts(found, scoring),
        ],
        rows=turns.rows(),
        controls=controls([run.checks for run in [*runs, *other]], scoring),
    )


def controls(checks: Sequence[Checks], scoring: Scoring[AgentSettings]) -> list[Control]:
    """Arms that are one must agree in logits, and tools must refuse what is stale."""
    allowed = SAME_TEXT if scoring.head.model["dtype"] == "float32" else scoring.tolerance.logits
    apart = {
        "stale_equals_full": (
            [c.stale_equals_full for c in checks],
            "turns whose value is the first one",
        ),
        "prefix_cache_equals_full": ([c.prefix_cache_equals_full for c in checks], "all turns"),
        "splice_in_place": (
            [c.splice_in_place for c in checks],
            "a policy computed after its own prefix, put back there",
        ),
        "isolated_edit_equals_prefill": (
            [c.field_only_equals_full for c in checks],
            "an isolated field refreshed by itself at all turns, against prefills under the pattern",
        ),
        "blind_splice_equals_prefill": (
            [c.blind_splice_equals_prefill for c in checks],
            "a blind policy spliced in, against a prefill under the pattern",
        ),
    }
    shares = {
        "stale_refused": ([c.stale_refused for c in checks], "actions that were right before the change"),
        "current_accepted": ([c.current_accepted for c in checks], "actions that are right now"),
    }
    return [
        *(
            control(name, max(told), 0.0, allowed, f"largest difference in logits, {what}")
            for name, (values, what) in apart.items()
            if (told := [value for value in values if value is not None])
        ),
        *(
            control(name, min(values), 1.0, 0.0, f"lowest share over episodes, {what}")
            for name, (values, what) in shares.items()
        ),
    ]


def _quantities(turns: Turns) -> dict[str, Callable[[str], np.ndarray]]:
    return {"success": turns.right, "agreement": turns.agrees}


def _shares(turns: Turns) -> Shares:
    return {
        (arm.name, name, phase): turns.share(of(arm.name), turns.phases.get(phase))
        for arm in ARMS
        for name, of in _quantities(turns).items()
        for phase in ("all", *PHASES)
        if phase == "all" or turns.phases[phase].any()  # with few episodes none may change early
    }


def _headlines(shares: Shares, cost: Costs) -> list[Headline]:
    out: list[Headline] = []
    for arm in ARMS:
        name = arm.name
        changed = f"success of {name} where the first value holds no more"
        out.append(Headline(f"success_{name}", shares[name, "success", "all"], _WHAT[name], bounds=SHARE))
        out.append(
            Headline(f"success_changed_{name}", shares[name, "success", "changed"], changed, bounds=SHARE)
        )
        if arm is not FULL:
            agreement = shares[name, "agreement", "all"]
            same = "decides as full at the same history"
            out.append(Headline(f"agreement_{name}", agreement, same, bounds=SHARE))
            # Time to first token does not rest on decisions.
            times = f"time to first token of full over {name}"
            out.append(
                Headline(
                    f"ttft_speedup_{name}",
                    cost.speedup[name],
                    times,
                    needs_gate=False,
                    bounds=NOT_NEGATIVE,
                )
            )
    return out


def _by_turn(turns: Turns, n_turns: int) -> list[TurnShare]:
    at = np.array([turn for _, turn in turns.places])
    return [
        TurnShare.of(turns.share(of(arm.name), at == turn), arm=arm.name, quantity=name, turn=turn + 1)
        for arm in ARMS
        for name, of in _quantities(turns).items()
        for turn in range(n_turns)
    ]


def _design(episodes: Sequence[Episode], runs: Sequence[EpisodeRun]) -> Design:
    right_first, at_trigger = first_places(episodes)
    return Design(
        episodes=len(episodes),
        turns=sum(len(one.turns) for one in episodes),
        right_action_first_in_menu=right_first,
        value_is_trigger=at_trigger,
        changes_back=sum(sum(map(one.changed, range(len(one.turns)))) > 1 for one in episodes),
        policy_tokens=float(np.mean([run.policy_tokens for run in runs])),
        prompt_tokens_last_turn=float(np.mean([run.arms[FULL.name].length[-1] for run in runs])),
        chunk_setup_ms=float(np.mean([run.setup_ms for run in runs])),
    )


def _layouts(found: Measured, scoring: Scoring[AgentSettings]) -> list[LayoutShare]:
    """The same episodes with the session block after the policy and before it."""
    episodes = found.cases.both_layouts
    if not episodes:
        return []
    asked, late = found.episodes.of(episodes), scoring.settings.field_late
    runs = {late: asked, not late: found.other_layout.of(episodes)}
    laid = {LAYOUTS[after]: Turns(episodes, runs[after], scoring.resampling) for after in (True, False)}
    return [
        LayoutShare.of(
            turns.share(of(arm.name), turns.phases.get(phase)),
            layout=layout,
            arm=arm.name,
            quantity=name,
            phase=phase,
        )
        for layout, turns in laid.items()
        for arm in ARMS
        for name, of in _quantities(turns).items()
        for phase in ("all", "changed")
    ]
