"""False notes against live field and rule, in the record.

``follows``: the decision is that of the prompt that the notes were taken from, or where that has the same
conclusion, the other one.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from experiments.controls.injecting import FalseConclusions
from experiments.controls.parts import FIELD_ALL, TRIGGER_ALL, Part
from experiments.controls.scores import FieldScores
from experiments.controls.settings import ControlsSettings
from experiments.controls.tables import Injection
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer, Scoring, SideMargins
from pkv_interp.run.stage import Stage, stacked
from pkv_interp.stats import Estimate
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import CELLS

#: Clean and corrupt prompt of each pair.
_SIDES = {"polarity": (CELLS.index("vv"), CELLS.index("vo")), "field": (CELLS.index("vv"), CELLS.index("ov"))}
#: Sets of positions by donor (what differs in it from the prompt), and where their margins are measured.
_SETS = {
    ("conclusion", "aggregators"): lambda one: one.other["aggregators"],
    ("conclusion", "random"): lambda one: one.random.mean(-1),
    ("conclusion", "single labels"): lambda one: one.other["single_labels"],
    ("conclusion", "all notes"): lambda one: one.other["all_notes"],
    ("record", "aggregators"): lambda one: one.same,
}
#: What is stated of polarity pairs.
_HEADLINES = {
    ("conclusion", "aggregators"): ("injection", "a false conclusion at the aggregators alone"),
    ("conclusion", "random"): ("injection_random", "the same at matched random positions"),
    ("record", "aggregators"): ("injection_same", "drift, notes there of the same conclusion"),
}


def injection(
    measured: Stage[FalseConclusions], held: Scorer, pair: Literal["polarity", "field"] = "polarity"
) -> Part:
    """Notes of a prompt of the other conclusion that has the same field and record, put in both ways.

    Args:
        measured: by case.
        held: of polarity pairs, or of field pairs (`injection_in_fields`).
        pair: which; headlines and claims are of polarity pairs.
    """
    scores = measured.of(held.cases)
    clean, corrupt = _SIDES[pair]
    plain = stacked(scores, lambda one: one.plain)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    effects: dict[str, np.ndarray] = {}
    for (donor, positions), margins in _SETS.items():
        patched = stacked(scores, lambda one, margins=margins: margins(one).reshape(len(CELLS), -1))
        into_clean, into_corrupt = patched[:, clean], patched[:, corrupt]
        sides = np.stack([plain[:, clean, None] - into_clean, into_corrupt - plain[:, corrupt, None]], axis=1)
        moved, drift = held.ratios(np.stack([sides.mean((1, 2)), np.abs(sides).mean((1, 2))], axis=1))
        follows = held.share(np.stack([into_clean < 0, into_corrupt > 0], axis=1).mean((1, 2)))
        matched = float(np.mean([one.matched for one in scores])) if positions == "random" else None
        lines.append(_line(moved, drift, follows, (pair, donor, positions), matched))
        if pair == "polarity" and (donor, positions) in _HEADLINES:
            name, what = _HEADLINES[donor, positions]
            # Where the conclusion stays the same, no shift is expected: its size is what counts.
            headlines.append(Headline(name, drift if donor == "record" else moved, what))
            held.arm(f"{name}_to_clean", into_corrupt.mean(-1))
            held.arm(f"{name}_to_corrupt", into_clean.mean(-1))
            effects[name] = sides.mean((1, 2))
    claims = [
        Claim("1", name, effect - held.gap, held, TRIGGER_ALL)
        if name == "injection"
        else Claim("0", name, effect, held, TRIGGER_ALL)
        for name, effect in effects.items()
    ]
    return Part(headlines, lines, claims, [])


def injection_in_fields(
    measured: Stage[FalseConclusions], cases: Sequence[Case], scoring: Scoring[ControlsSettings]
) -> Part:
    """The same on the two prompts of field pairs, over the gap between them and their donors.

    Prompts and donors are the whole quad: a side of the gap is the mean over its two prompts of one
    conclusion. These lines are beside those of polarity pairs, with which they share a prompt.

    Args:
        measured: by case.
        cases: field pairs.
        scoring: of the run.
    """
    yes, no = ([CELLS.index(name) for name in names] for names in (("vv", "oo"), ("vo", "ov")))
    plain = [one.plain for one in measured.of(cases)]
    sides = [SideMargins(float(one[yes].mean()), float(one[no].mean())) for one in plain]
    return injection(measured, scoring.on(cases, sides), "field")


def field_notes(measured: Stage[FieldScores], held: Scorer, settings: ControlsSettings) -> Part:
    """Notes of the other prompt of a field pair: all, then the best of each size; the field stays live."""
    scores = measured.of(held.cases)
    to_clean = stacked(scores, lambda s: s.to_clean)
    to_corrupt = stacked(scores, lambda s: s.to_corrupt)
    sides = np.stack([to_clean - held.corrupt[:, None], held.clean[:, None] - to_corrupt], axis=1)
    moved = sides.mean(1)
    follows = np.stack([to_clean > 0, to_corrupt < 0], axis=1).mean(1)
    held.arm("injection_field_notes_to_clean", to_clean[:, 0])
    held.arm("injection_field_notes_to_corrupt", to_corrupt[:, 0])
    estimates, drifts = held.ratios(moved), held.ratios(np.abs(sides).mean(1))
    names = ["all notes", *(f"top{k}" for k in settings.sizes)]
    return Part(
        [Headline("injection_field_notes", estimates[0], "all notes of the field pair's other prompt")],
        [
            _line(estimate, drift, held.share(follows[:, i]), ("field", "field", name), None)
            for i, (name, estimate, drift) in enumerate(zip(names, estimates, drifts, strict=True))
        ],
        [Claim("1", "injection_field_notes", moved[:, 0] - held.gap, held, FIELD_ALL)],
        [],
    )


def _line(
    moved: Estimate, drift: Estimate, follows: Estimate, what: tuple[str, str, str], matched: float | None
) -> Injection:
    pair, donor, positions = what
    columns: dict[str, Any] = interval("drift", drift) | interval("follows", follows)
    return Injection.of(moved, pair=pair, donor=donor, positions=positions, matched=matched, **columns)
