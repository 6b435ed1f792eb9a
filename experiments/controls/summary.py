"""From what the controls experiment measured to its report."""

from experiments.controls.edits import directions, sparse
from experiments.controls.floors import noise_floors
from experiments.controls.measure import Measured
from experiments.controls.notes import injection, scrubbing, specificity
from experiments.controls.settings import ControlsSettings
from experiments.controls.states import aggregators, dissociation, dissociation_claims, templates
from experiments.controls.timing import timing
from pkv_interp.run.claims import equivalences
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring


def summarise(found: Measured, scoring: Scoring[ControlsSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases, scoring.settings
    ranked, scores = found.ranked.of(cases.discovery), found.scores.of(cases.held_out)
    decided = [d for one in [*ranked, *scores] for d in one.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    polarity_scores, field_scores = [s.polarity for s in scores], [s.field for s in scores]
    sides = [*(one.polarity for one in ranked), *polarity_scores]
    everything = scoring.on([quad.polarity for quad in cases.quads], sides)
    polarity = scoring.on([quad.polarity for quad in cases.held_out], polarity_scores)
    field = scoring.on([quad.field for quad in cases.held_out], field_scores)
    edited = scoring.on(
        [quad.polarity for quad in cases.edited], [s.polarity for s in found.scores.of(cases.edited)]
    )
    floors = noise_floors(ranked, scoring.floor)
    outside, outside_rows = templates(found, scoring)
    parts = [
        dissociation(sides, everything, scoring),
        specificity(field_scores, field, settings),
        injection(field_scores, field, settings),
        timing(found, polarity, settings),
        scrubbing(polarity_scores, polarity),
        directions(found, edited, scoring),
        outside,
        sparse(found, edited, settings),
    ]
    claims = [
        *dissociation_claims(polarity_scores, polarity),
        *(claim for part in parts for claim in part.claims),
    ]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *(headline for part in parts for headline in part.headlines)],
        tables=[
            gate.table,
            *gate.screen,
            *(line for part in parts for line in part.tables),
            *aggregators(found, polarity),
            *equivalences(claims, floors),
        ],
        rows=[*everything.rows, *field.rows, *polarity.rows, *edited.rows, *outside_rows, *gate.rows],
        controls=[control for part in parts for control in part.controls],
        noise_floor=floors,
    )
