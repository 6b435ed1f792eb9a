"""Notes moved between prompts, in the record: top-k sets, and resampled notes and rest."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.controls.parts import FIELD_ALL, TRIGGER_ALL, Part
from experiments.controls.scores import FieldScores, PolarityScores
from experiments.controls.settings import HEADLINE_K, ControlsSettings
from experiments.controls.tables import Scrubbing, Specificity
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import Stage, stacked

DONORS = ("same", "same_other_values", "other")
RESAMPLED = ("note", "rest", "all")
Side = Literal["clean", "corrupt"]
#: By donor and by what is resampled: the headline, and what it is.
_SCRUBS = {
    ("same", "all"): ("scrub_same", "drift, all notes resampled from the same conclusion"),
    ("other", "note"): ("scrub_note", "eight aggregator labels resampled from the other conclusion"),
    ("other", "rest"): ("scrub_rest", "all other notes resampled from the other conclusion"),
}


def specificity(measured: Stage[FieldScores], held: Scorer, settings: ControlsSettings) -> Part:
    """Top-k note positions, ranked on discovery families, against matched random ones; field pairs."""
    scores = measured.of(held.cases)
    top = stacked(scores, lambda s: s.to_clean)[:, 1:]
    random = stacked(scores, lambda s: s.random).mean(-1)
    matched = stacked(scores, lambda s: s.matched).mean(0)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for i, k in enumerate(settings.sizes):
        for arm, values, what in (
            ("top", top[:, i], f"the {k} best positions after the field"),
            ("random", random[:, i], f"{k} random positions, matched where possible"),
        ):
            stated = k == HEADLINE_K
            estimate = held.arm(f"{arm}{k}", values) if stated else held.recovery(values)
            if stated:
                headlines.append(Headline(f"{arm}{k}", estimate, what))
            share = None if arm == "top" else float(matched[i])
            lines.append(Specificity.of(estimate, arm=arm, k=k, matched=share))
    at = settings.sizes.index(HEADLINE_K)
    full = stacked(scores, lambda s: s.states["full_patch"])
    claims = [
        Claim("0", f"random{HEADLINE_K}", random[:, at] - held.corrupt, held, FIELD_ALL),
        Claim("1", f"top{HEADLINE_K}", top[:, at] - full, held, FIELD_ALL),
    ]
    return Part(headlines, lines, claims, [])


def _scrubbed(
    scores: Sequence[PolarityScores], side: Side, donor: str, where: str
) -> Float[np.ndarray, " quads"]:
    """Margins of one side of the pair, resampled."""
    return stacked(scores, lambda s: (s.scrub.clean if side == "clean" else s.scrub.corrupt)[donor][where])


def scrubbing(measured: Stage[PolarityScores], held: Scorer) -> Part:
    """What resampling moves: towards the other conclusion, and how far whichever way (``drift``)."""
    scores = measured.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    shifts: dict[tuple[str, str], np.ndarray] = {}
    for donor in DONORS:
        for where in RESAMPLED:
            clean, corrupt = (_scrubbed(scores, side, donor, where) for side in ("clean", "corrupt"))
            sides = np.stack([held.clean - clean, corrupt - held.corrupt], axis=1)
            shifts[donor, where] = sides.mean(1)
            estimate, drift = held.ratios(np.stack([sides.mean(1), np.abs(sides).mean(1)], axis=1))
            lines.append(Scrubbing.of(estimate, donor=donor, resampled=where, **interval("drift", drift)))
            if (donor, where) in _SCRUBS:
                name, what = _SCRUBS[donor, where]
                # Where the conclusion stays the same, no shift is expected: its size is what counts.
                headlines.append(Headline(name, drift if donor == "same" else estimate, what))
                held.arm(f"{name}_clean", clean)
                held.arm(f"{name}_corrupt", corrupt)
    claims = [
        Claim("0", "scrub_same", shifts["same", "all"], held, TRIGGER_ALL),
        Claim("0", "scrub_same, other values, note", shifts["same_other_values", "note"], held, TRIGGER_ALL),
        Claim("0", "scrub_rest", shifts["other", "rest"], held, TRIGGER_ALL),
        Claim("1", "scrub_note", shifts["other", "note"] - held.gap, held, TRIGGER_ALL),
    ]
    return Part(headlines, lines, claims, [])
