"""What the editing experiment measures: frontier, traces, sweep, errata, diagnostic, chains, horizon."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from experiments.editing.asking import KindsOfEdit, ask_every_kind
from experiments.editing.cases import Cases, build_cases, candidates, engine_cases, was_ranked
from experiments.editing.chains import Chains, think
from experiments.editing.errata import Errata, Planted, tell_against, tell_every_way
from experiments.editing.frontier import FrontierEdit, edit_every_way
from experiments.editing.horizon import Horizon, run_turns
from experiments.editing.settings import EditingSettings
from experiments.editing.sweep import Sweep, sweep_sizes
from experiments.editing.traced import TracedEdit, trace_every_way
from pkv_interp.measure.edit_ranking import ALIGNED, PositionScores, learn_scores, score_positions
from pkv_interp.measure.edit_scenes import EditScene, SceneSource
from pkv_interp.measure.traced_edits import read_heads
from pkv_interp.run.screen import Candidates
from pkv_interp.run.screened import SCORED, Screened
from pkv_interp.run.stage import Stage
from pkv_interp.tasks import Case

if TYPE_CHECKING:
    from pkv_interp.run.session import Session

#: Both recompute all that the field can have changed, so they must agree.
EQUAL = ("suffix_recompute", "full_reprefill")
#: Exact where fields are isolated.
EXACT = "field_only"


@dataclass(frozen=True)
class Measured:
    """All that was measured, by scene.

    Attributes:
        cases: the scenes.
        frontier: every method, at all lengths and places.
        sweep: recomputed tokens by number and selector.
        errata: wordings and placements.
        planted: the same against a stated conclusion.
        diagnostic: by the wording that was asked with, the experiment's own first.
        chains: with a chain of thought; empty where none was asked for.
        horizons: turn by turn.
        traced: what the decision reads after every method.
        screened: what the scenes were chosen from; nothing where the first ones were taken.
    """

    cases: Cases
    frontier: Stage[FrontierEdit]
    sweep: Stage[Sweep]
    errata: Stage[Errata]
    planted: Stage[Planted]
    diagnostic: dict[str, Stage[KindsOfEdit]]
    chains: Stage[Chains]
    horizons: Stage[Horizon]
    traced: Stage[TracedEdit] = field(default_factory=lambda: Stage[TracedEdit]({}))
    screened: Screened = field(default_factory=Screened)


def measure(session: "Session[EditingSettings]") -> Measured:
    """Rank positions on instances of their own, then measure every stage on the others."""
    settings, loaded, engine = session.settings, session.loaded, session.engine
    pattern = session.pattern()
    source = SceneSource.of(settings, session.tokenizer)
    source = replace(source, n_ranking=settings.tried(settings.rank_instances))
    cases, ranking, screened = _chosen(session, source)
    session.check_engine(engine_cases(settings, source))
    scores = session.each("ranking", ranking, lambda case: score_positions(engine, case), PositionScores)
    learned = learn_scores(ranking, scores.of(ranking))
    heads = read_heads(scores.of(ranking), settings.read_heads)
    frontier = session.each(
        "frontier",
        cases.frontier,
        lambda scene: edit_every_way(loaded, scene, source, learned[scene.family]["attention"], settings),
        FrontierEdit,
    )
    _check_frontier(session, frontier.all())
    if pattern is not None:
        _check_isolated(session, frontier.all())
    traced = session.each(
        "traced",
        cases.traced,
        lambda scene: trace_every_way(
            engine, scene, source, learned[scene.family]["attention"], heads, settings
        ),
        TracedEdit,
    )
    _check_traced(session, traced.all())
    sweep = session.each(
        "sweep",
        cases.one_way,
        lambda scene: sweep_sizes(engine, scene, source, learned[scene.family], settings),
        Sweep,
    )
    errata = session.each(
        "errata", cases.errata, lambda scene: tell_every_way(loaded, scene, settings), Errata
    )
    _check_errata(session, errata.all())
    planted = session.each(
        "planted", cases.planted, lambda scene: tell_against(loaded, scene, settings), Planted
    )
    diagnostic = {
        wording: session.each(
            f"diagnostic {wording}",
            cases.one_way,
            lambda scene, wording=wording: ask_every_kind(loaded, scene, source, wording),
            KindsOfEdit,
        )
        for wording in settings.asked_with
    }
    chains = session.each("chains", cases.chains, lambda scene: think(loaded, scene, settings), Chains)
    horizons = session.each(
        "horizon", cases.horizons, lambda scene: run_turns(loaded, scene, settings), Horizon
    )
    return Measured(cases, frontier, sweep, errata, planted, diagnostic, chains, horizons, traced, screened)


def _chosen(session: "Session[EditingSettings]", source: SceneSource) -> tuple[Cases, list[Case], Screened]:
    """The scenes, and the pairs that rank positions; every length and place is screened on its own."""
    settings = session.settings
    style = source.style(settings.fillers[0], settings.at[0] == "late")
    ranking = source.ranking_cases(style, in_turn=settings.screened)
    if not settings.screened:
        return build_cases(settings, source), ranking, Screened()
    splits: dict[str, Candidates[EditScene | Case]] = {
        "discovery": Candidates(ranking, settings.rank_instances),
        SCORED: Candidates(
            candidates(settings, source),
            settings.instances,
            fits=was_ranked,
            group_of=lambda one: one.style if isinstance(one, EditScene) else None,
        ),
    }
    kept = session.right_on_both(
        "screen",
        splits,
        lambda one: (one if isinstance(one, Case) else source.matching_case(one),),
    )
    scenes = [one for one in kept.items[SCORED] if isinstance(one, EditScene)]
    ranked = [one for one in kept.items["discovery"] if isinstance(one, Case)]
    return build_cases(settings, source, scenes), ranked, kept.screened


def _check_frontier(session: "Session[EditingSettings]", found: Sequence[FrontierEdit]) -> None:
    apart = [one.readouts_differ_by for one in found if one.readouts_differ_by is not None]
    if apart:
        session.control(
            "last_token_equals_rerun",
            max(apart),
            0.0,
            session.tolerance.logits,
            f"logits, an unedited cache decided by the last token alone and by its question, {len(apart)}",
        )
    session.control("positions_agree", float(np.mean([one.aligned for one in found])), 1.0, 0.0, ALIGNED)
    ends = [one.methods[m].decision.margin_error for one in found for m in EQUAL if m in one.methods]
    if ends:
        session.control(
            "suffix_recompute_equals_full",
            max(ends),
            0.0,
            session.tolerance.logits,
            f"logits, recompute from the field on against a prefill, {len(found)} edits",
        )


def _check_isolated(session: "Session[EditingSettings]", found: Sequence[FrontierEdit]) -> None:
    """An isolated field's edit is a prefill under the pattern, by construction."""
    apart = [one.methods[EXACT].decision.margin_error for one in found if EXACT in one.methods]
    if apart:
        session.control(
            "isolated_edit_equals_prefill", max(apart), 0.0, session.tolerance.logits,
            f"logits, an isolated field's edit against a prefill under the pattern, {len(apart)} edits",
        )  # fmt: skip


def _check_traced(session: "Session[EditingSettings]", found: Sequence[TracedEdit]) -> None:
    traces = [one for edit in found for one in edit.methods.values()]
    session.control(
        "trace_equals_api",
        max(one.api_difference for one in traces),
        0.0,
        session.tolerance.logits,
        f"logits, traced decisions against those of the editing API, {len(traces)} edited caches",
    )


def _check_errata(session: "Session[EditingSettings]", found: Sequence[Errata]) -> None:
    session.control(
        "erratum_is_a_prefill",
        max(one.prefill_difference for one in found),
        0.0,
        session.tolerance.logits,
        "logits, an erratum after the stale cache against a prefill of the old text and the erratum",
    )
    session.control(
        "earlier_columns_kept",
        float(np.mean([one.earlier_columns_kept for one in found])),
        1.0,
        0.0,
        "share of errata that left every earlier column bit for bit",
    )
