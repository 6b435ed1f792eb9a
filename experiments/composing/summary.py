"""From what the composing experiment measured to its report."""

from experiments.composing.extras import call_tables, times, window_tables
from experiments.composing.fidelity import condition_rows, condition_tables, curve_tables
from experiments.composing.measure import Measured
from experiments.composing.settings import BLIND, MAIN, ComposingSettings
from experiments.composing.sides import agreement, decisions_of, divergence, sides_of
from experiments.composing.spliced import TRANSPLANT
from experiments.composing.tables import LeftOut
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring

#: Headlines of agreement with the full prefill: condition, name, arm, and what it is.
_AGREEMENTS = (
    (MAIN, "transplant_agreement", TRANSPLANT, "decides as the full prefill, where that is right"),
    (MAIN, "no_rotation_agreement", "no_rotation", "the same without turning the keys"),
    (MAIN, "seam1_agreement", "seam1", "the first token of the chunk recomputed"),
    # Here the chunk's notes depend on what stood before it: nothing, or the other value.
    (BLIND, "blind_agreement", TRANSPLANT, "rule moved after the field it reads: blind notes"),
    (BLIND, "other_side_agreement", "behind_other_side", "the same, precompiled after the other value"),
)


def summarise(found: Measured, scoring: Scoring[ComposingSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    settings, resampling = scoring.settings, scoring.resampling
    gate = scoring.gate(decisions_of(found.conditions[MAIN]), settings.competence_threshold)
    timed = times(found.times, settings.suffix, resampling)
    tables: list[TableRow] = [gate.table]
    for name, scenes in found.conditions.items():
        tables += condition_tables(name, scenes, scoring)
    for point in found.curves:
        tables += curve_tables(point.curve, point.size, point.scenes, scoring)
    tables += [LeftOut(one.what, one.size, one.positions) for one in found.left_out]
    tables += call_tables(found.calls, settings, resampling)
    tables += [*window_tables(found.diagnosis, resampling), *timed[1]]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_headlines(found, scoring), *timed[0]],
        tables=tables,
        rows=[
            row
            for name, scenes in found.conditions.items()
            for row in condition_rows(name, scenes, scoring.floor)
        ],
    )


def _headlines(found: Measured, scoring: Scoring[ComposingSettings]) -> list[Headline]:
    kl = divergence(sides_of(found.conditions[MAIN]), TRANSPLANT, scoring.resampling)
    what = "KL from the full prefill, nats"
    headlines = [Headline("transplant_kl", kl, what, bounds=NOT_NEGATIVE)]
    for condition, name, arm, meaning in _AGREEMENTS:
        if condition not in found.conditions:
            continue
        agreed = agreement(sides_of(found.conditions[condition]), arm, scoring.resampling)
        if agreed is not None:
            headlines.append(Headline(name, agreed, meaning, bounds=SHARE))
    return headlines
