"""Reports of the origin of notes over made-up cells."""

from __future__ import annotations

from typing import Any

from experiments.origin.cases import Arrangement, arrangements, build_cases
from experiments.origin.cells import Cell
from experiments.origin.fitting import Training
from experiments.origin.measure import Cells, Measured
from experiments.origin.settings import OriginSettings
from experiments.origin.summary import summarise
from pkv_interp.measure.competence import Decision
from pkv_interp.run.report import Report
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks import Case
from tests.experiments import made_up
from tests.families import tiny

FAMILIES = ("orders", "alerts", "posts", "fares")


def settings(**changes: Any) -> OriginSettings:
    given = {"model": "tiny-llama", "families": FAMILIES, "bootstrap_draws": 200, "both_seeds": 2}
    return OriginSettings.model_validate(given | changes)


def cell(case: Case, changed: float, notes: float, right: bool = True) -> Cell:
    """A cell in which span and notes recover given shares of a gap of 4 logits."""
    clean, corrupt = (2.0, -2.0) if right else (2.0, 1.0)
    sides = [(True, clean), (False, -corrupt)]
    first, second = (
        Decision(case.family, case.instance, match, margin, margin > 0, margin > 0) for match, margin in sides
    )
    gap = clean - corrupt
    parts = {
        f"{case.changed}_only": corrupt + changed * gap,
        "notes_only": corrupt + notes * gap,
        "notes_only_K": corrupt + 0.5 * notes * gap,
        "kind: newline": corrupt + 0.25 * notes * gap,
        "full_patch": clean,
        "self_patch": corrupt,
    }
    return Cell(clean, corrupt, (first, second), parts, {"newline": 3})


def report(reader: Any, writer: Any, **changes: Any) -> Report:
    """The report where cells of readers, and of everything else, are made by the two functions.

    Args:
        reader: from a case and an arrangement to a cell.
        writer: the same.
        changes: to the settings.
    """
    chosen = settings(**changes)
    cases = build_cases(chosen, tiny("llama").tokenizer)
    arranged = arrangements(chosen)
    cells = {}
    for one in arranged:
        make = reader if one.role == "reader" else writer
        cells[one.name] = Cells(
            *(Stage({key_of(case): make(case, one) for case in cases.of(changed)}) for changed in one.pairs)
        )
    history = {one.name: Training([{"loss": 1.0}]) for one in arranged if one.curriculum is not None}
    return summarise(Measured(cases, arranged, cells, history), made_up.scoring(chosen))


def of_notes(case: Case, one: Arrangement) -> Cell:
    return cell(case, 0.0, 0.95 + 0.02 * (one.seed or 0))
