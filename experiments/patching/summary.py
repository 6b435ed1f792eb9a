"""From what the patching experiment measured to its report."""

from collections.abc import Sequence

import numpy as np

from experiments.patching.claims import claims, noise_floors
from experiments.patching.curves import position_curves
from experiments.patching.hidden import attention, knockouts
from experiments.patching.measure import Measured
from experiments.patching.places import grids, places
from experiments.patching.responses import chains, dose_responses
from experiments.patching.scored import Scored
from experiments.patching.settings import PatchingSettings
from experiments.patching.tables import States
from pkv_interp.records.run import control
from pkv_interp.records.schema import Control, Row
from pkv_interp.records.tables import interval
from pkv_interp.run.claims import equivalences
from pkv_interp.run.report import Headline, Report
from pkv_interp.run.scoring import Scorer, Scoring, row_of
from pkv_interp.run.stage import stacked


def _arms(changed: str) -> dict[str, str]:
    """Cache states between the stale prompt and the oracle, with what they refresh."""
    return {
        f"{changed}_only": f"KV of the {changed} alone",
        "notes_only": f"KV after the {changed} alone",
        "full_downstream": f"KV of the {changed} and everything after it",
    }


def summarise(found: Measured, scoring: Scoring[PatchingSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases, scoring.settings
    scored = found.scored.of(cases.held_out)
    held = scoring.on(cases.held_out, scored)
    decided = [d for one in (*found.ranked.of(cases.discovery), *scored) for d in one.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    margins = _margins(scored, cases.changed)
    states = [
        Headline(arm, held.arm(arm, margins[arm]), f"{refreshed} refreshed")
        for arm, refreshed in _arms(cases.changed).items()
    ]
    curves, hidden = position_curves(found, held, settings), knockouts(found, held, settings)
    floors = noise_floors(held, scored)
    cells, arrays = grids(found, scoring.on(cases.grid, found.grids.of(cases.grid)), settings)
    dosed, thought = dose_responses(found, scoring), chains(found, scoring)
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *states, *curves[0], *hidden[0], *attention(found, held)],
        tables=[
            gate.table,
            *gate.screen,
            *_states(held, margins),
            *places(found, held),
            *curves[1],
            *hidden[1],
            *equivalences(claims(held, scored, settings), scoring.head.noise_floor | floors),
            *cells,
            *dosed[0],
            *thought[0],
        ],
        rows=[*held.rows, *_ranking_rows(found, settings), *dosed[1], *thought[1], *gate.rows],
        controls=[_full_downstream(held, margins["full_downstream"], scoring)],
        noise_floor=floors,
        arrays=arrays,
    )


def _ranking_rows(found: Measured, settings: PatchingSettings) -> list[Row]:
    """What is decided on own pairs that rank: competence counts them, and scores may not."""
    rows = []
    for case in found.cases.discovery if settings.pairs is not None else ():
        one = found.ranked.at(case)
        right: dict[str, float | int | str | bool | None] = {}
        for decision in one.decisions:
            right["match_right" if decision.gold_is_match else "mismatch_right"] = decision.right
        rows.append(row_of(case, "unpatched", clean=one.clean, corrupt=one.corrupt, extra=right))
    return rows


def _margins(scored: Sequence[Scored], changed: str) -> dict[str, np.ndarray]:
    """Margins by cache state; ``stale`` and ``oracle`` are the two prompts themselves."""
    return {
        "stale": stacked(scored, lambda s: s.corrupt),
        f"{changed}_only": stacked(scored, lambda s: s.states[f"{changed}_only"]),
        "notes_only": stacked(scored, lambda s: s.states["notes_only"]),
        "full_downstream": stacked(scored, lambda s: s.states["full_patch"]),
        "oracle": stacked(scored, lambda s: s.clean),
    }


def _states(held: Scorer, margins: dict[str, np.ndarray]) -> list[States]:
    return [
        States.of(held.recovery(values), arm=arm, **interval("decides_new", held.share(values > 0)))
        for arm, values in margins.items()
    ]


def _full_downstream(held: Scorer, full: np.ndarray, scoring: Scoring[PatchingSettings]) -> Control:
    return control(
        "full_downstream",
        float(np.abs(full - held.clean).max()),
        0.0,
        scoring.floor,
        f"logits, {held.cases[0].changed} and notes together against clean, {len(full)} scored cases",
    )
