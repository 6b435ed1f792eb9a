"""From what the patching experiment measured to its report."""

from collections.abc import Sequence

import numpy as np

from experiments.patching.claims import claims, noise_floors
from experiments.patching.curves import position_curves
from experiments.patching.field_places import field_places
from experiments.patching.hidden import attention, knockouts
from experiments.patching.measure import Measured
from experiments.patching.path_lines import field_cut_off, paths
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
from pkv_interp.run.right_pairs import Section, with_right_pairs
from pkv_interp.run.scoring import Scorer, Scoring, row_of
from pkv_interp.run.stage import stacked

#: Cache states between the stale prompt and the oracle, with what they refresh; ``{}`` is the changed span.
_ARMS = {
    "{}_only": "KV of the {} alone",
    "notes_only": "KV after the {} alone",
    "full_downstream": "KV of the {} and everything after it",
}


def summarise(found: Measured, scoring: Scoring[PatchingSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases, scoring.settings
    scored = found.scored.of(cases.held_out)
    held = scoring.on(cases.held_out, scored)
    decided = [d for one in (*found.ranked.of(cases.discovery), *scored) for d in one.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    sections: list[Section] = [
        with_right_pairs(lambda held: _states(found, held), held),
        with_right_pairs(lambda held: position_curves(found, held, settings), held),
        with_right_pairs(lambda held: knockouts(found, held, settings), held),
        with_right_pairs(lambda held: paths(found, held), held),
        with_right_pairs(lambda held: attention(found, held), held),
    ]
    floors = noise_floors(held, scored)
    cells, arrays = grids(found, scoring.on(cases.grid, found.grids.of(cases.grid)), settings)
    dosed, thought = dose_responses(found, scoring), chains(found, scoring)
    moved, moved_rows = field_places(found, scoring)
    sections.append(moved)
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *(headline for section in sections for headline in section[0])],
        tables=[
            gate.table,
            *gate.screen,
            *(line for section in sections for line in section[1]),
            *places(found, held),
            *equivalences(claims(held, scored, settings), scoring.head.noise_floor | floors),
            *cells,
            *dosed[0],
            *thought[0],
        ],
        rows=[*held.rows, *_ranking_rows(found, settings), *dosed[1], *moved_rows, *thought[1], *gate.rows],
        controls=[_full_downstream(found, held, scoring), field_cut_off(found, held, scoring)],
        noise_floor=floors,
        arrays=arrays,
    )


def _states(found: Measured, held: Scorer) -> Section:
    """Recovery by cache state, the two prompts themselves among them."""
    margins = _margins(found.scored.of(held.cases), found.cases.changed)
    changed = found.cases.changed
    arms = {arm.format(changed): what.format(changed) for arm, what in _ARMS.items()}
    headlines = [
        Headline(arm, held.arm(arm, margins[arm]), f"{what} refreshed") for arm, what in arms.items()
    ]
    return headlines, [
        States.of(held.recovery(values), arm=arm, **interval("decides_new", held.share(values > 0)))
        for arm, values in margins.items()
    ]


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


def _full_downstream(found: Measured, held: Scorer, scoring: Scoring[PatchingSettings]) -> Control:
    full = _margins(found.scored.of(held.cases), found.cases.changed)["full_downstream"]
    return control(
        "full_downstream",
        float(np.abs(full - held.clean).max()),
        0.0,
        scoring.floor,
        f"logits, {found.cases.changed} and notes together against clean, {len(full)} scored cases",
    )
