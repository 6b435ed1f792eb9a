"""Scores of what discovery families chose, each part with its controls."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.confirm.cases import Cases
from experiments.confirm.checking import check_edits, check_episodes, check_pairs, check_splices
from experiments.confirm.edits import EditScores, edit_scene
from experiments.confirm.episodes import EpisodeScores, play
from experiments.confirm.found import Chosen, Scores
from experiments.confirm.items import Laid, QuadAndTwin, SceneAndPair
from experiments.confirm.pairs import PairScores, score_pair
from experiments.confirm.parts import EDITS, wanted
from experiments.confirm.probing import Probes, probe
from experiments.confirm.quads import (
    Labels,
    QuadScores,
    Residuals,
    ScoresAndResiduals,
    collect,
    probed_layers,
    score_quad,
)
from experiments.confirm.splices import SpliceScores, move_policy
from pkv_interp.cache.compute import Runner
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.tasks.quads import Quad

if TYPE_CHECKING:
    from experiments.confirm.settings import ConfirmSettings
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Scored:
    """What is scored.

    Attributes:
        field, polarity, quads: that are used.
        training: quads of discovery families, on which probes are trained.
        cases: all prompts, of which those of the other parts are all used.
    """

    field: list[Laid]
    polarity: list[Laid]
    quads: list[QuadAndTwin]
    training: list[Quad]
    cases: Cases


def score(session: "Session[ConfirmSettings]", scored: Scored, chosen: Chosen) -> Scores:
    """Score every part that a claim is about.

    Args:
        session: of the run.
        scored: prompts.
        chosen: by discovery families.
    """
    engine, settings = session.engine, session.settings
    plan, runner = settings.plan, Runner.of(session.loaded.model)
    by_field = chosen.heads if settings.named.flip == "field" else None
    field = session.each(
        "field", scored.field, lambda one: score_pair(engine, one, by_field), PairScores
    ).all()
    polarity = session.each(
        "polarity", scored.polarity, lambda one: score_pair(engine, one, chosen.heads), PairScores
    ).all()
    check_pairs(session, [*field, *polarity])
    quads, probes = _quads(session, scored, chosen.labels)
    wants_edits = EDITS in wanted(plan, settings.model.name)
    edits = session.each(
        "edits",
        edits_of(scored.field, plan.sizes.edits) if wants_edits else [],
        lambda one: edit_scene(engine, one, chosen.effects, plan.sizes.recomputed),
        EditScores,
    ).all()
    check_edits(session, edits)
    early, late = scored.cases.moved, scored.cases.moved_late
    check_splices(session, runner, [*early[:1], *late[-1:]])
    moved_late, moved = (
        session.each(name, mine, lambda one: move_policy(runner, session.tokenizer, one), SpliceScores).all()
        for name, mine in (("moved late", late), ("moved", early))
    )
    return Scores(
        field, polarity, quads, probes, edits, moved_late, moved, _episodes(session, scored, runner)
    )


def edits_of(pairs: list[Laid], number: int) -> list[SceneAndPair]:
    """Edits of the first pairs of each family: one to the trigger's value, the next one away from it.

    Args:
        pairs: field pairs with their edits.
        number: of each family.
    """
    found: dict[str, list[SceneAndPair]] = {}
    for one in pairs:
        mine = found.setdefault(one.family, [])
        if len(mine) < number:
            mine.append(one.edits[len(mine) % 2])
    return [scene for mine in found.values() for scene in mine]


def _quads(
    session: "Session[ConfirmSettings]", scored: Scored, labels: Labels | None
) -> tuple[list[QuadScores], Probes | None]:
    """Quads, and probes that are trained on those of discovery families."""
    if labels is None or not scored.quads:
        return [], None
    engine, sizes = session.engine, session.settings.plan.sizes
    layers = probed_layers(session.spec.n_layers, sizes.probe_layers)
    found = session.each(
        "quads", scored.quads, lambda both: score_quad(engine, both, labels, layers), ScoresAndResiduals
    ).all()
    scores = [one.scores for one in found]
    if not labels.single:
        session.run.remarks.append("no label stands at one position of every prompt: nothing was probed")
        return scores, None
    known = session.each(
        "residuals", scored.training, lambda quad: collect(engine, quad, labels, layers), Residuals
    ).all()
    rng = session.rng("shuffled labels")
    streams = [one.residuals for one in found]
    probes = session.once("probes", lambda: probe(known, streams, layers, sizes.probe_shuffles, rng), Probes)
    return scores, probes


def _episodes(session: "Session[ConfirmSettings]", scored: Scored, runner: Runner) -> list[EpisodeScores]:
    if not scored.cases.episodes:
        return []
    world, tie = world_of(session.settings.scenarios), session.tolerance.routers
    # The first forward of a process pays for what later ones find ready.
    runner.prefill(session.tokenizer("warm up", add_special_tokens=False)["input_ids"])
    found = session.each(
        "episodes",
        scored.cases.episodes,
        lambda one: play(runner, session.tokenizer, one, world, tie),
        EpisodeScores,
    ).all()
    check_episodes(session, found)
    return found
