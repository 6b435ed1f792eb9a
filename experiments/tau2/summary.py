"""From what was measured on tau2-bench to its report."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool

from experiments.tau2.checks import controls
from experiments.tau2.costs import seconds_of, tokens_of
from experiments.tau2.episode_summary import Episodes
from experiments.tau2.measure import Measured
from experiments.tau2.settings import Tau2Settings
from experiments.tau2.tables import ArmShare, Cost, Known, Sizes, TurnShare
from experiments.tau2.visits import Visits, both_states
from pkv_interp.agent.arms import FULL
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate

#: What each arm does, for its headline.
WHAT = {
    "full": "everything prefilled again",
    "prefix_cache": "prefilled from the first token that differs",
    "erratum": "an erratum appended",
    "field_only": "the state's tokens computed again in place",
    "field_erratum": "state refreshed in place, erratum",
    "field_last": "states right before the request",
    "unified": "policy spliced, state refreshed, erratum",
    "stale": "nothing told",
}


def summarise(found: Measured, scoring: Scoring[Tau2Settings]) -> Report:
    """Estimates, tables, rows and controls of a run."""
    decided = Visits(found.decisions.all(), scoring.resampling)
    looped = Visits(found.loops.all(), scoring.resampling) if found.loops.all() else None
    gate = scoring.gate(decided.decisions(), scoring.settings.competence_threshold)
    episodes = Episodes(found.episodes.all(), scoring.resampling) if found.episodes.all() else None
    parts = [("decisions", decided), *([("loops", looped)] if looped else [])]
    courses = episodes.by_course.items() if episodes else ()
    return Report(
        gate=gate.competence,
        headlines=[
            gate.headline,
            *_known_headlines(decided),
            *_success(decided),
            *(_loop_headlines(looped) if looped else ()),
            *(episodes.headlines(WHAT) if episodes else ()),
            *_cheaper(decided),
        ],
        tables=[
            gate.table,
            *_known(decided),
            *_shares(decided, looped),
            *(_by_turn(looped) if looped else ()),
            *(episodes.shares() if episodes else ()),
            *(
                Cost.of(visits.ratio(arm.name, quantity), part=part, arm=arm.name, what=what)
                for part, visits in parts
                for arm in visits.arms
                for what, quantity in (("tokens", tokens_of(part)), ("seconds", seconds_of(part)))
            ),
            *_sizes(found),
        ],
        rows=[
            row
            for part, visits in (*parts, *((f"episodes/{name}", course) for name, course in courses))
            for row in visits.rows(part)
        ],
        controls=controls(found, scoring),
    )


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
    for arm in visits.arms:
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
    for arm in visits.arms:
        what = f"visits whose database ends right: {WHAT[arm.name]}"
        share = visits.share_of_visits(visits.whole(arm.name))
        out.append(Headline(f"loop_success_{arm.name}", share, what, bounds=SHARE))
        if arm is not FULL:
            out.append(
                Headline(
                    f"loop_tokens_ratio_{arm.name}",
                    visits.ratio(arm.name, tokens_of("loops")),
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
        for arm in visits.arms
        if arm is not FULL
        for name, what, quantity in (
            ("tokens_ratio", "tokens", tokens_of("decisions")),
            ("ttft_ratio", "time to first token", seconds_of("decisions")),
        )
    ]


def _shares(decided: Visits, looped: Visits | None) -> Iterator[ArmShare]:
    samples = [*_samples(decided), ("both_right", _right_in_both(decided))]
    for arm in decided.arms:
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
        for arm in visits.arms
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
                episodes=sum(one.domain == known.domain for one in found.episodes.all()),
                right_action_first_in_menu=float(np.mean([one.right_first for one in about])),
                first_action_right=float(np.mean([one.right[0] == 0 for one in about])),
                policy_tokens=float(np.mean([run.policy_tokens for run in decided])),
                prompt_tokens=float(np.mean([run.arms[FULL.name].length[-1] for run in decided])),
            )
        )
    return out
