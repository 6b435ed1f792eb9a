"""From what the controls experiment measured to its report."""

from experiments.controls.edits import directions
from experiments.controls.floors import noise_floors
from experiments.controls.injection import field_notes, injection, injection_in_fields
from experiments.controls.measure import Measured
from experiments.controls.notes import scrubbing, specificity
from experiments.controls.parts import by_case, over_right_pairs
from experiments.controls.settings import ControlsSettings
from experiments.controls.sparse import clamps, decoding
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
    polarities, fields = [q.polarity for q in cases.held_out], [q.field for q in cases.held_out]
    edits = [quad.polarity for quad in cases.edited]
    of_polarity, of_field = by_case(polarities, scores), by_case(fields, scores)
    sides = by_case(
        [quad.polarity for quad in cases.quads],
        [*(one.polarity for one in ranked), *(one.polarity for one in scores)],
    )
    everything = scoring.on([quad.polarity for quad in cases.quads], sides.all())
    polarity = scoring.on(polarities, [one.polarity for one in scores])
    field = scoring.on(fields, [one.field for one in scores])
    edited = scoring.on(edits, [of_polarity.at(case).polarity for case in edits])
    floors = noise_floors(ranked, scoring.floor)
    outside, outside_rows = templates(found, scoring)
    in_fields, injected = of_field.map(lambda one: one.field), of_polarity.map(lambda one: one.injected)
    along = by_case(edits, found.edits.of(cases.edited))
    clamped = by_case(edits, found.clamped.of(cases.edited))
    parts = [
        over_right_pairs(lambda mine: dissociation(sides, mine, scoring), everything),
        over_right_pairs(lambda mine: specificity(in_fields, mine, settings), field),
        over_right_pairs(lambda mine: injection(injected, mine), polarity),
        injection_in_fields(of_field.map(lambda one: one.injected), fields, scoring),
        over_right_pairs(lambda mine: field_notes(in_fields, mine, settings), field),
        over_right_pairs(lambda mine: timing(found, of_polarity, mine, settings), polarity),
        over_right_pairs(lambda mine: scrubbing(of_polarity.map(lambda one: one.polarity), mine), polarity),
        over_right_pairs(lambda mine: directions(found, along, mine, scoring), edited),
        outside,
        over_right_pairs(lambda mine: decoding(found, mine, settings), polarity),
        over_right_pairs(lambda mine: clamps(found, clamped, mine, settings), edited),
    ]
    claims = [
        *dissociation_claims([one.polarity for one in scores], polarity),
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
