"""From what the editing experiment measured to its report."""

from experiments.editing.errata_summary import diagnostic, wordings
from experiments.editing.frontier_summary import frontier, gated_decisions
from experiments.editing.main_summary import edits_that_matter
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer
from experiments.editing.settings import EditingSettings
from experiments.editing.sweep_summary import selectors
from experiments.editing.traced_summary import traced
from experiments.editing.turns_summary import chains, horizons
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scoring


def summarise(found: Measured, scoring: Scoring[EditingSettings]) -> Report:
    """Estimates, tables and rows of a run; every headline but the gate's own needs the gate."""
    settings, scorer = scoring.settings, EditScorer(scoring.resampling)
    gate = scoring.gate(gated_decisions(found), settings.competence_threshold, found.screened)
    parts = [
        edits_that_matter(found, scorer, settings.frontier_methods),
        frontier(found, scorer, settings.frontier_methods),
        selectors(found, scorer, settings.top_k),
        wordings(found, scorer, settings.erratum),
        diagnostic(found, scorer, settings.erratum),
        chains(found, scorer),
        horizons(found, scorer),
        traced(found, scorer, settings.methods),
    ]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *(headline for part in parts for headline in part[0])],
        tables=[gate.table, *gate.screen, *(line for part in parts for line in part[1])],
        rows=[*scorer.rows, *gate.rows],
    )
