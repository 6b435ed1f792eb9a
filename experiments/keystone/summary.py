"""From what the keystone experiment measured to its report."""

from collections.abc import Sequence

from experiments.keystone.cutting import cutting
from experiments.keystone.edits import SceneEdits
from experiments.keystone.measure import Measured
from experiments.keystone.methods import methods
from experiments.keystone.settings import KeystoneSettings
from pkv_interp.measure.competence import Decision
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring


def summarise(found: Measured, scoring: Scoring[KeystoneSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    gate = scoring.gate(decisions_of(found.edits), scoring.settings.competence_threshold)
    edited = methods(found.edits, scoring)
    penalties, cuts = cutting(found.cuts, scoring.resampling)
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *edited.headlines, *penalties],
        tables=[gate.table, *edited.tables, *cuts],
        rows=edited.rows,
    )


def decisions_of(edits: Sequence[SceneEdits]) -> list[Decision]:
    """What the full prefill decides on either value, for the competence gate."""
    return [
        Decision(
            one.family, one.instance, one.matches == is_new, towards, towards > 0, one.top_token_right[is_new]
        )
        for one in edits
        for is_new, towards in ((False, -one.recomputed.old), (True, one.recomputed.new))
    ]
