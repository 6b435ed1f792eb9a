"""What the confirmatory run measures: competence first, then ranking on discovery families, then scores."""

from typing import TYPE_CHECKING

from experiments.confirm.about import competent
from experiments.confirm.cases import Cases, build_cases
from experiments.confirm.checking import check_edits, check_episodes, check_pairs, check_splices
from experiments.confirm.edits import EditScores, edit_scene, learn_attention
from experiments.confirm.episodes import EpisodeScores, play
from experiments.confirm.found import Chosen, Measured, Scores
from experiments.confirm.pairs import (
    Decided,
    PairScores,
    RankedHeads,
    choose_heads,
    decide,
    score_pair,
    sweep_heads,
)
from experiments.confirm.parts import check_names
from experiments.confirm.probing import Probes, probe
from experiments.confirm.quads import (
    Labels,
    QuadScores,
    RankedNotes,
    Residuals,
    ScoresAndResiduals,
    choose_labels,
    collect,
    probed_layers,
    score_quad,
    sweep_notes,
)
from experiments.confirm.refusals import refuse_loaded
from experiments.confirm.settings import ConfirmSettings
from experiments.confirm.splices import SpliceScores, move_policy
from pkv_interp.cache.compute import Runner
from pkv_interp.measure.edit_ranking import AttentionScores, score_attention
from pkv_interp.run.committed import committed
from pkv_interp.run.preregistration import Preregistration
from pkv_interp.run.scenario_settings import world_of

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


def measure(session: "Session[ConfirmSettings]") -> Measured:
    """Judge competence; where the model has it, rank on discovery families and score the others."""
    settings = session.settings
    plan, place = settings.plan, settings.preregistration.path
    check_names(plan)
    known = committed(place)
    session.run.remarks.append(known.remark)
    cases = build_cases(settings, session.tokenizer)
    refuse_loaded(session.loaded.info, plan)
    session.check_engine(cases.ends)
    engine = session.engine
    decided = {
        name: session.each(f"decided {name}", mine, lambda one: decide(engine, one), Decided).all()
        for name, mine in (("field", cases.field), ("polarity", cases.polarity))
    }
    every = [d for mine in decided.values() for one in mine for d in one.decisions]
    can = competent(every, plan.competence)
    if not can:
        session.run.remarks.append(
            "nothing but competence was measured: the model does not follow these rules"
        )
    chosen = _rank(session, cases, plan) if can else None
    assert settings.scenarios is not None  # refused before
    return Measured(
        place.read_text("utf-8"),
        {
            "preregistration": settings.preregistration.sha256,
            "scenarios": settings.scenarios.sha256,
            "commit": known.commit,
        },
        settings.model.name,
        decided,
        chosen,
        None if chosen is None else _score(session, cases, plan, chosen),
    )


def _rank(session: "Session[ConfirmSettings]", cases: Cases, plan: Preregistration) -> Chosen:
    """Everything that is chosen, on packaged discovery families."""
    engine, sizes = session.engine, plan.sizes
    heads = session.each("heads", cases.ranking, lambda case: sweep_heads(engine, case), RankedHeads)
    notes = session.each("notes", cases.ranking_quads, lambda one: sweep_notes(engine, one), RankedNotes)
    looks = session.each(
        "attention", cases.ranking_edits, lambda case: score_attention(engine, case), AttentionScores
    )
    rng = session.rng("read heads")
    return Chosen(
        choose_heads(heads.of(cases.ranking), sizes.read_heads, sizes.random_sets, rng),
        choose_labels(cases.ranking_quads, notes.of(cases.ranking_quads), cases.quads, sizes.labels),
        learn_attention(cases.ranking_edits, looks.of(cases.ranking_edits)),
    )


def _score(
    session: "Session[ConfirmSettings]", cases: Cases, plan: Preregistration, chosen: Chosen
) -> Scores:
    """Score what discovery families chose, each part with its controls."""
    engine, tokenizer, sizes = session.engine, session.tokenizer, plan.sizes
    runner, world = Runner.of(session.loaded.model), world_of(session.settings.scenarios)
    field = session.each("field", cases.field, lambda one: score_pair(engine, one), PairScores).all()
    polarity = session.each(
        "polarity", cases.polarity, lambda one: score_pair(engine, one, chosen.heads), PairScores
    ).all()
    check_pairs(session, [*field, *polarity])
    quads, probes = _quads(session, cases, plan, chosen.labels)
    edits = session.each(
        "edits",
        cases.scenes,
        lambda one: edit_scene(engine, one, chosen.attention, sizes.recomputed),
        EditScores,
    ).all()
    check_edits(session, edits)
    check_splices(session, runner, [cases.moved[0], cases.moved_late[-1]])
    late, early = (
        session.each(name, mine, lambda one: move_policy(runner, tokenizer, one), SpliceScores).all()
        for name, mine in (("moved late", cases.moved_late), ("moved", cases.moved))
    )
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(tokenizer("warm up", add_special_tokens=False)["input_ids"])
    tie = session.tolerance.routers
    episodes = session.each(
        "episodes", cases.episodes, lambda one: play(runner, tokenizer, one, world, tie), EpisodeScores
    ).all()
    check_episodes(session, episodes)
    return Scores(field, polarity, quads, probes, edits, late, early, episodes)


def _quads(
    session: "Session[ConfirmSettings]", cases: Cases, plan: Preregistration, labels: Labels
) -> tuple[list[QuadScores], Probes | None]:
    """Quads, and probes that are trained on those of discovery families."""
    engine, sizes = session.engine, plan.sizes
    layers = probed_layers(session.spec.n_layers, sizes.probe_layers)
    found = session.each(
        "quads", cases.quads, lambda both: score_quad(engine, both, labels, layers), ScoresAndResiduals
    ).all()
    scores = [one.scores for one in found]
    if not labels.single:
        session.run.remarks.append("no label stands at one position of every prompt: nothing was probed")
        return scores, None
    known = session.each(
        "residuals", cases.ranking_quads, lambda quad: collect(engine, quad, labels, layers), Residuals
    ).all()
    rng = session.rng("shuffled labels")
    scored = [one.residuals for one in found]
    probes = session.once("probes", lambda: probe(known, scored, layers, sizes.probe_shuffles, rng), Probes)
    return scores, probes
