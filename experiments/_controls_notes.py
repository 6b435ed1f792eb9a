"""Notes moved between prompts, in the record: top-k sets, false notes, resampled notes and rest."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments._claims import Claim
from experiments._controls_cases import HEADLINE_K
from experiments._scores import Scorer, named, point, stack
from pkv_interp.records import Run

if TYPE_CHECKING:
    from experiments._controls_measures import Chunk
    from experiments.controls import ControlsSettings

DONORS = ("same", "same_other_values", "other")


def specificity(
    run: Run, held: Scorer, settings: "ControlsSettings", chunks: Sequence["Chunk"]
) -> list[Claim]:
    """Top-k note positions, ranked on discovery families, against matched random ones; field pairs."""
    top = stack(chunks, "field", "injection", "to_clean")[:, 1:]
    random = stack(chunks, "field", "random").mean(-1)
    matched = stack(chunks, "field", "matched").mean(0)
    lines = []
    for i, k in enumerate(settings.sizes):
        for arm, values in (("top", top[:, i]), ("random", random[:, i])):
            keep = k == HEADLINE_K
            found = held.arm(f"{arm}{k}", values) if keep else held.recovery(values)
            if keep:
                run.headline[f"{arm}{k}"] = found
            lines.append(point(found, arm=arm, k=k, matched=None if arm == "top" else float(matched[i])))
    run.tables["specificity"] = lines
    at = settings.sizes.index(HEADLINE_K)
    full = stack(chunks, "field", "states", "full_patch")
    wide = "same_conclusion_field_all"
    return [
        Claim("0", f"random{HEADLINE_K}", random[:, at] - held.corrupt, held, wide),
        Claim("1", f"top{HEADLINE_K}", top[:, at] - full, held, wide),
    ]


def injection(run: Run, held: Scorer, settings: "ControlsSettings", chunks: Sequence["Chunk"]) -> list[Claim]:
    """False notes against the live field, both ways; ``follows``: the decision is the notes' one."""
    to_clean, to_corrupt = (stack(chunks, "field", "injection", way) for way in ("to_clean", "to_corrupt"))
    moved = ((to_clean - held.corrupt[:, None]) + (held.clean[:, None] - to_corrupt)) / 2
    follows = ((to_clean > 0).astype(float) + (to_corrupt < 0)) / 2
    for way, values in (("to_clean", to_clean), ("to_corrupt", to_corrupt)):
        held.arm(f"injection_{way}", values[:, 0])
    estimates = held.ratios(moved)
    run.headline["injection"] = estimates[0]
    run.tables["injection"] = [
        point(
            estimate,
            positions=name,
            **named("follows", held.share(follows[:, i])),
        )
        for i, (name, estimate) in enumerate(
            zip(["all notes", *(f"top{k}" for k in settings.sizes)], estimates, strict=True)
        )
    ]
    return [Claim("1", "injection", moved[:, 0] - held.gap, held, "same_conclusion_field_all")]


def scrubbed(held: Scorer, chunks: Sequence["Chunk"], donor: str, where: str) -> np.ndarray:
    """Shift towards the other conclusion, [cases, sides] in logits: of the clean and of the corrupt side."""
    clean = held.clean - stack(chunks, "polarity", "scrub", "clean", donor, where)
    corrupt = stack(chunks, "polarity", "scrub", "corrupt", donor, where) - held.corrupt
    return np.stack([clean, corrupt], axis=1)


def scrubbing(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> list[Claim]:
    """What resampling moves: towards the other conclusion, and how far whichever way (``drift``)."""
    lines = []
    shifts: dict[tuple[str, str], np.ndarray] = {}
    for donor in DONORS:
        for where in ("note", "rest", "all"):
            sides = scrubbed(held, chunks, donor, where)
            shifts[donor, where] = sides.mean(1)
            estimate, drift = held.ratios(np.stack([sides.mean(1), np.abs(sides).mean(1)], axis=1))
            lines.append(point(estimate, donor=donor, resampled=where, **named("drift", drift)))
            headline = {("other", "note"): "scrub_note", ("other", "rest"): "scrub_rest"}.get((donor, where))
            if (donor, where) == ("same", "all"):
                headline, estimate = "scrub_same", drift
            if headline is not None:
                run.headline[headline] = estimate
                for side in ("clean", "corrupt"):
                    held.arm(f"{headline}_{side}", stack(chunks, "polarity", "scrub", side, donor, where))
    run.tables["scrubbing"] = lines
    floor = "same_conclusion_trigger_all"
    return [
        Claim("0", "scrub_same", shifts["same", "all"], held, floor),
        Claim("0", "scrub_same, other values, note", shifts["same_other_values", "note"], held, floor),
        Claim("0", "scrub_rest", shifts["other", "rest"], held, floor),
        Claim("1", "scrub_note", shifts["other", "note"] - held.gap, held, floor),
    ]
