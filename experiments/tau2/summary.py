"""From what was measured on tau2-bench to its report."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool

from experiments.tau2.arms import ArmTurns, VisitRun
from experiments.tau2.measure import Measured
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.tables import ArmShare, Cost, Known, Sizes, TurnShare
from experiments.tau2.visits import Visits, both_states
from pkv_interp.agent.arms import FULL
from pkv_interp.agent.tau2.keeping import ARMS
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate

#: In float32 arms of the same text may differ by this much, in logits.
SAME_TEXT = 1e-4
#: What each arm does, for its headline.
WHAT = {
    "full": "everything prefilled again",
    "prefix_cache": "prefilled from the first token that differs",
    "erratum": "an erratum appended",
    "field_only": "the state's tokens computed again in place",
    "field_last": "states right before the request",
    "unified": "policy spliced, state refreshed, erratum",
    "stale": "nothing told",
}


def summarise(found: Measured, scoring: Scoring[Tau2Settings]) -> Report:
    """Estimates, tables, rows and controls of a run."""
    decided = Visits(found.decisions.all(), scoring.resampling)
    looped = Visits(found.loops.all(), scoring.resampling) if found.loops.all() else None
    gate = scoring.gate(decided.decisions(), scoring.settings.competence_threshold)
    parts = [("decisions", decided), *([("loops", looped)] if looped else [])]
    return Report(
        gate=gate.competence,
        headlines=[
            gate.headline,
            *_known_headlines(decided),
            *_success(decided),
            *(_loop_headlines(looped) if looped else ()),
            *_cheaper(decided),
        ],
        tables=[
            gate.table,
            *_known(decided),
            *_shares(decided, looped),
            *(_by_turn(looped) if looped else ()),
            *(
                Cost.of(visits.ratio(arm.name, quantity), part=part, arm=arm.name, what=what)
                for part, visits in parts
                for arm in ARMS
                for what, quantity in (("tokens", _tokens(part)), ("seconds", _seconds(part)))
            ),
            *_sizes(found),
        ],
        rows=[row for part, visits in parts for row in visits.rows(part)],
        controls=controls([*found.decisions.all(), *found.loops.all()], scoring),
    )


def controls(runs: Sequence[VisitRun], scoring: Scoring[Tau2Settings]) -> list[Control]:
    """Arms that are one must agree in logits; the environment must take right actions and no stale ones."""
    allowed = SAME_TEXT if scoring.head.model["dtype"] == "float32" else scoring.tolerance.logits
    checks = [run.checks for run in runs]
    placed = [one.splice_in_place for one in checks if one.splice_in_place is not None]
    cached = max(one.prefix_cache_equals_full for one in checks)
    stale, right = min(one.stale_fails for one in checks), min(one.right_succeeds for one in checks)
    lines = [
        control(
            "prefix_cache_equals_full", cached, 0.0, allowed, "largest difference in logits, same history"
        ),
        control("stale_fails", stale, 1.0, 0.0, "lowest share of actions right before the change that fail"),
        control(
            "right_succeeds",
            right,
            1.0,
            0.0,
            "lowest share of right actions accepted, that change what they are to",
        ),
    ]
    if placed:
        what = "largest difference in logits, a policy computed after its own prefix, put back there"
        lines.append(control("splice_in_place", max(placed), 0.0, allowed, what))
    return lines


def _right_in_both(visits: Visits) -> Bool[np.ndarray, " visits"]:
    return np.array([all(one.right for one in both_states(run)) for run in visits.runs])


def _samples(visits: Visits) -> Iterator[tuple[str, Bool[np.ndarray, " visits"]]]:
    """Decisions by sample, each with its name."""
    domains = np.array([run.about.domain for run in visits.runs])
    topics = np.array([f"{run.about.domain}/{run.about.topic}" for run in visits.runs])
    yield "all", np.ones(len(domains), bool)
    for names in (domains, topics):
        for name in dict.fromkeys(names.tolist()):
            yield name, names == name


def _right_share(visits: Visits) -> np.ndarray:
    return np.array([np.mean([one.right for one in both_states(run)]) for run in visits.runs])


def _known(visits: Visits) -> list[Known]:
    quantities = {"either": _right_share(visits), "both": _right_in_both(visits).astype(float)}
    return [
        Known.of(visits.share(values, where), sample=sample, quantity=quantity)
        for sample, where in _samples(visits)
        for quantity, values in quantities.items()
    ]


def _known_headlines(visits: Visits) -> list[Headline]:
    """How competent the model is, by domain: no claim about an arm, so none of it is withheld."""
    out = []
    users = len(set(visits.users))
    count = float(len(visits.runs))
    number = Estimate(value=count, ci_low=count, ci_high=count, n_families=users, n_instances=int(count))
    if users == 1:
        number = Estimate(value=count, n_families=1, n_instances=int(count))
    what = "decisions, each in both states of its record"
    out.append(Headline("decisions", number, what, needs_gate=False, bounds=NOT_NEGATIVE))
    for domain in dict.fromkeys(run.about.domain for run in visits.runs):
        where = np.array([run.about.domain == domain for run in visits.runs])
        for name, values, words in (
            ("competence", _right_share(visits), "two-way accuracy over both states"),
            ("both_right", _right_in_both(visits).astype(float), "records decided right in both states"),
        ):
            told = f"{domain}: {words}, full prefill"
            share = visits.share(values, where)
            out.append(Headline(f"{name}_{domain}", share, told, needs_gate=False, bounds=SHARE))
    return out


def _success(visits: Visits) -> list[Headline]:
    out = []
    for arm in ARMS:
        what = f"call succeeds by the database, state changed: {WHAT[arm.name]}"
        out.append(
            Headline(f"success_{arm.name}", visits.share(visits.success(arm.name)), what, bounds=SHARE)
        )
        if arm is not FULL:
            same = f"decides as a full prefill: {WHAT[arm.name]}"
            out.append(
                Headline(f"agreement_{arm.name}", visits.share(visits.agrees(arm.name)), same, bounds=SHARE)
            )
    return out


def _loop_headlines(visits: Visits) -> list[Headline]:
    out = []
    for arm in ARMS:
        what = f"visits whose database ends right: {WHAT[arm.name]}"
        share = visits.share_of_visits(visits.whole(arm.name))
        out.append(Headline(f"loop_success_{arm.name}", share, what, bounds=SHARE))
        if arm is not FULL:
            out.append(
                Headline(
                    f"loop_tokens_ratio_{arm.name}",
                    visits.ratio(arm.name, _tokens("loops")),
                    f"tokens of full over {arm.name}, whole visit",
                    needs_gate=False,
                    bounds=NOT_NEGATIVE,
                )
            )
    return out


def _cheaper(visits: Visits) -> list[Headline]:
    """By how many times an arm is cheaper after the change; what an arm costs does not rest on decisions."""
    return [
        Headline(
            f"{name}_{arm.name}",
            visits.ratio(arm.name, quantity),
            f"{what} of full over {arm.name}, after the change",
            needs_gate=False,
            bounds=NOT_NEGATIVE,
        )
        for arm in ARMS
        if arm is not FULL
        for name, what, quantity in (
            ("tokens_ratio", "tokens", _tokens("decisions")),
            ("ttft_ratio", "time to first token", _seconds("decisions")),
        )
    ]


def _tokens(part: str) -> Callable[[ArmTurns], float]:
    """Tokens of a visit; those of the opening count in loops, and in decisions were run before the change."""
    return _of_a_loop if part == "loops" else _after_the_change


def _after_the_change(turns: ArmTurns) -> float:
    return float(turns.tokens.sum())


def _of_a_loop(turns: ArmTurns) -> float:
    return float(turns.tokens.sum()) + turns.opening


def _seconds(part: str) -> Callable[[ArmTurns], float]:
    """Time of a visit, of the same work that `_tokens` counts."""
    return _time_of_a_loop if part == "loops" else _time_after_the_change


def _time_after_the_change(turns: ArmTurns) -> float:
    return float(turns.ms.sum())


def _time_of_a_loop(turns: ArmTurns) -> float:
    return float(turns.ms.sum()) + turns.opening_ms


def _shares(decided: Visits, looped: Visits | None) -> Iterator[ArmShare]:
    samples = [*_samples(decided), ("both_right", _right_in_both(decided))]
    for arm in ARMS:
        quantities = {"success": decided.success(arm.name), "agreement": decided.agrees(arm.name)}
        for sample, where in samples:
            for quantity, values in quantities.items() if where.any() else ():
                yield ArmShare.of(
                    decided.share(values, where),
                    part="decisions",
                    sample=sample,
                    arm=arm.name,
                    quantity=quantity,
                )
        if looped is not None:
            told = {
                "success": looped.share(looped.success(arm.name)),
                "agreement": looped.share(looped.agrees(arm.name)),
                "whole": looped.share_of_visits(looped.whole(arm.name)),
            }
            for quantity, share in told.items():
                yield ArmShare.of(share, part="loops", sample="all", arm=arm.name, quantity=quantity)


def _by_turn(visits: Visits) -> list[TurnShare]:
    at = np.array([turn for _, turn in visits.places])
    return [
        TurnShare.of(visits.share(visits.success(arm.name), at == turn), arm=arm.name, turn=turn + 1)
        for arm in ARMS
        for turn in range(int(at.max()) + 1)
    ]


def _sizes(found: Measured) -> list[Sizes]:
    out = []
    for known in found.known:
        decided = [run for run in found.decisions.all() if run.about.domain == known.domain]
        looped = [run for run in found.loops.all() if run.about.domain == known.domain]
        about = [run.about for run in decided]
        out.append(
            Sizes(
                domain=known.domain,
                version=known.version,
                database=known.digest,
                gated=known.gated,
                unaligned=known.unaligned,
                decisions=len(decided),
                loops=len(looped),
                right_action_first_in_menu=float(np.mean([one.right_first for one in about])),
                first_action_right=float(np.mean([one.right[0] == 0 for one in about])),
                policy_tokens=float(np.mean([run.policy_tokens for run in decided])),
                prompt_tokens=float(np.mean([run.arms[FULL.name].length[-1] for run in decided])),
            )
        )
    return out
