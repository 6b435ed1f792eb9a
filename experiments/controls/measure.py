"""What the controls experiment measures: ranked sites, scores, templates, probes, edits."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from experiments.controls.cases import Cases, build_quads, cases_of, left_out
from experiments.controls.clamping import ClampedQuad, clamp
from experiments.controls.features import PLACES, Coding, Features, read_features, train_features
from experiments.controls.outside import TemplateStates, score_template
from experiments.controls.probing import CellResiduals, Probes, collect, probe, probed_layers
from experiments.controls.ranking import NoteRanking, RankedQuad, rank_notes, rank_sites
from experiments.controls.replay import ReplayTexts, replay_texts
from experiments.controls.scores import QuadScores, ScoresAndResiduals, score
from experiments.controls.settings import ControlsSettings
from experiments.controls.steering import Edits, WholeDifference, candidates, edit, try_layers
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.measure.residuals import QuadResiduals, residuals_of_texts
from pkv_interp.run.screen import Candidates, first_of_each
from pkv_interp.run.screened import SCORED, Screened
from pkv_interp.run.stage import Stage, stacked

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that a summary reads; residual streams, from which some of it follows, are left out.

    Attributes:
        ranked: of discovery quads.
        plan: what they chose.
        scores: of held-out quads.
        outside: of cases outside the template.
        probes: of all quads, discovery ones first.
        tested: by layer, recovery of the whole difference at the aggregators on discovery families.
        edits: of edited quads, along directions.
        clamped: of edited quads, by sparse features.
        coding: of the sparse coder.
        screened: what the quads were chosen from; nothing where the first ones were taken.
    """

    cases: Cases
    ranked: Stage[RankedQuad]
    plan: NoteRanking
    scores: Stage[QuadScores]
    outside: Stage[TemplateStates]
    probes: Probes
    tested: dict[int, float]
    edits: Stage[Edits]
    clamped: Stage[ClampedQuad]
    coding: Coding
    screened: Screened = field(default_factory=Screened)


def measure(session: "Session[ControlsSettings]") -> Measured:
    """Rank on discovery families, score held-out ones, then edit residual streams."""
    settings, engine = session.settings, session.engine
    discovery, held_out = build_quads(settings, session.tokenizer)
    # Probes that read inside a family are tested on instances that they never saw: one alone is none.
    kept = session.right_on_both(
        "screen",
        {
            "discovery": Candidates(discovery, settings.instances, at_least=2),
            SCORED: Candidates(held_out, settings.instances, at_least=2),
        },
        lambda both: (both.quad.polarity, both.quad.opposite),
    )
    discovery, held_out = kept.items["discovery"], kept.items[SCORED]
    cases = cases_of(settings, discovery, held_out, session.tokenizer)
    session.run.remarks.extend(left_out(cases, settings))
    session.check_engine(cases.ends)
    ranked = session.each("ranking", discovery, lambda both: rank_sites(engine, both), RankedQuad)
    plan = rank_notes(settings, cases, ranked)
    collected = session.each(
        "residuals", cases.discovery, lambda quad: collect(engine, quad, plan, settings), CellResiduals
    )
    found = session.each(
        "scoring", held_out, lambda both: score(engine, both, plan, settings), ScoresAndResiduals
    )
    outside = session.each(
        "template", cases.templates, lambda case: score_template(engine, case), TemplateStates
    )
    values = [
        *(one.residuals for one in collected.of(cases.discovery)),
        *(one.residuals for one in found.of(cases.held_out)),
    ]
    everywhere = QuadResiduals(np.stack(values), probed_layers(settings, engine.spec.n_layers), cases.quads)
    known = everywhere.at_places(PLACES["all"])
    tested = _try_layers(session, cases, plan, known, ranked)
    layer = max(tested, key=lambda at: tested[at])
    features = _features(session, everywhere, layer)
    return Measured(
        cases,
        ranked,
        plan,
        scores=found.map(lambda both: both.scores),
        outside=outside,
        probes=session.once("probes", lambda: probe(known, settings, session.rng("shuffled labels")), Probes),
        tested=tested,
        edits=session.each(
            "edits", cases.edited, lambda quad: edit(engine, quad, plan, known, layer, settings), Edits
        ),
        clamped=session.each(
            "clamps",
            cases.edited,
            lambda quad: clamp(engine, quad, plan, everywhere, features, settings),
            ClampedQuad,
        ),
        coding=session.once("coding", lambda: read_features(settings, features, everywhere), Coding),
        screened=kept.screened,
    )


def _features(session: "Session[ControlsSettings]", streams: QuadResiduals, layer: int) -> Features:
    """The sparse coder, trained on replay text; the text's residuals are stored nowhere."""
    settings = session.settings
    texts = session.once(
        "replay", lambda: replay_texts(session.loaded, settings.sae_samples, settings.seed), ReplayTexts
    )

    def train() -> Features:
        replay, held_out = (
            residuals_of_texts(session.engine, part, layer) for part in (texts.training, texts.held_out)
        )
        return train_features(settings, streams, layer, replay, held_out)

    found = session.once("features", train, Features)
    if found.replayed < settings.sae_samples:
        session.run.remarks.append(
            f"the model's chats give the sparse coder {found.replayed} samples "
            f"of the {settings.sae_samples} asked for"
        )
    return found


def _try_layers(
    session: "Session[ControlsSettings]",
    cases: Cases,
    plan: NoteRanking,
    known: QuadResiduals,
    ranked: Stage[RankedQuad],
) -> dict[int, float]:
    """Recovery by layer of the whole difference at the aggregators, on one quad of each discovery family."""
    settings, engine = session.settings, session.engine
    layers = candidates(settings, known.layers, engine.spec.n_layers)
    first = first_of_each(cases.discovery, 1)
    tried = session.each(
        "layer", first, lambda quad: try_layers(engine, quad, plan, known, layers), WholeDifference
    )
    effect = pooled_effect(
        stacked(tried.of(first), lambda one: one.margins),
        stacked(ranked.of(first), lambda one: one.polarity.corrupt),
        stacked(ranked.of(first), lambda one: one.polarity.clean),
    )
    return dict(zip(layers, effect.tolist(), strict=True))
