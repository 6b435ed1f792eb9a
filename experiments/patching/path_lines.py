"""What is left of the decision with each path to it closed."""

import numpy as np

from experiments.patching.measure import Measured
from experiments.patching.paths import CUT_OFF
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import PathLine
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import Scorer, Scoring

#: Headlines by the path closed. ``decision_field`` is the knockout of the changed span and has its headline.
_HEADLINES = {
    "notes_field": ("closed_notes_field", "gap left when the notes may not see the {}"),
    "notes_rule": ("closed_notes_rule", "gap left when notes after the rule cannot see it"),
    "question_notes": ("closed_question_notes", "gap left when the question cannot see notes before it"),
    "random": ("closed_random", "gap left when the notes cannot see another span"),
}


def paths(found: Measured, held: Scorer) -> Section:
    """What each path that all cases have leaves of the gap and of the right decisions when it is closed."""
    measured = found.paths.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    closed = {
        name: np.array([(one.clean[name], one.corrupt[name]) for one in measured])
        for name in measured[0].clean
        if name != CUT_OFF and all(name in one.clean for one in measured)
    }
    if all(one.random for one in measured):
        closed["random"] = np.array([np.mean(one.random, axis=0) for one in measured])
    for path, both in closed.items():
        clean, corrupt = both.T
        estimate = held.ratios((clean - corrupt)[:, None])[0]
        rates = {"clean_right": float((clean > 0).mean()), "corrupt_right": float((corrupt < 0).mean())}
        lines.append(PathLine.of(estimate, path=path, **rates))
        if path in _HEADLINES:
            name, what = _HEADLINES[path]
            held.arm(name, clean, corrupt_patched=corrupt)
            headlines.append(Headline(name, estimate, what.format(found.cases.changed)))
    return headlines, lines


def field_cut_off(found: Measured, held: Scorer, scoring: Scoring[PatchingSettings]) -> Control:
    """With every path to the field closed the two prompts are alike."""
    shift = [one.clean[CUT_OFF] - one.corrupt[CUT_OFF] for one in found.paths.of(held.cases)]
    return control(
        "field_cut_off",
        float(np.abs(shift).max()),
        0.0,
        max(scoring.floor, scoring.tolerance.logits),
        f"logits, gap with every path to the {found.cases.changed} closed, {len(shift)} scored cases",
    )
