"""From what the anatomy experiment measured to its report."""

import numpy as np

from experiments.anatomy.head_lines import head_halves
from experiments.anatomy.measure import Measured
from experiments.anatomy.part_lines import parts
from experiments.anatomy.path_lines import prefill_paths
from experiments.anatomy.prediction_lines import prediction
from experiments.anatomy.prefill_paths import CUT_OFF
from experiments.anatomy.settings import AnatomySettings
from experiments.anatomy.word_lines import words
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control
from pkv_interp.run.report import Report
from pkv_interp.run.scoring import Scorer, Scoring


def summarise(found: Measured, scoring: Scoring[AnatomySettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases.held_out, scoring.settings
    scored = found.parts.of(cases)
    held = scoring.on(cases, scored)
    decided = [d for one in scored for d in one.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    sections = [
        parts(found, held),
        words(found, held),
        prefill_paths(found, held),
        head_halves(found, held, settings),
        prediction(found, held),
    ]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *(headline for section in sections for headline in section[0])],
        tables=[gate.table, *gate.screen, *(line for section in sections for line in section[1])],
        rows=[*held.rows, *gate.rows],
        controls=_controls(found, held, scoring),
    )


def _controls(found: Measured, held: Scorer, scoring: Scoring[AnatomySettings]) -> list[Control]:
    """Shifts with known answers: nothing is left to differ, or two routes lead to one cache."""
    cases = held.cases
    scored, worded = found.parts.of(cases), found.words.of(cases)
    closed, headed = found.paths.of(cases), found.heads.of(cases)
    whole = np.array([one.patched["notes/KV/all"] for one in scored])
    shifts = {
        "keys_and_values_make_both": (
            np.array([one.halves for one in scored]) - whole,
            "keys and values of the notes as two patches against one",
        ),
        "own_keys": (np.array([one.own for one in scored]) - held.corrupt, "a prompt's own keys put into it"),
        "same_donor": (
            np.array([one.same.role["notes/KV"] for one in worded]) - (whole - held.corrupt),
            "donors of the same words against the patch of the notes",
        ),
        "field_cut_off": (
            np.array([one.clean[CUT_OFF] - one.corrupt[CUT_OFF] for one in closed]),
            "gap with every path to the field closed",
        ),
        "own_attention": (
            np.array([one.own for one in headed]),
            "a prompt's own patterns and values put into its heads",
        ),
    }
    allowed = max(scoring.floor, scoring.tolerance.logits)
    told = max(one.own_outputs for one in found.predictions.of(cases))
    words = f"of the largest, outputs told from weights and values against the model's, {len(cases)} cases"
    return [
        control("outputs_are_weights_times_values", told, 0.0, scoring.tolerance.outputs, words),
    ] + [
        control(name, float(np.abs(shift).max()), 0.0, allowed, f"logits, {what}, {len(cases)} scored cases")
        for name, (shift, what) in shifts.items()
    ]
