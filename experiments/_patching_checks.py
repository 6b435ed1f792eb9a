"""Noise floors of the patching experiment, and its claims of "nothing" and of "everything"."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments._claims import Claim
from experiments._patching_cases import HEADLINE_K
from experiments._scores import Scorer, stack
from pkv_interp.records import Run

if TYPE_CHECKING:
    from experiments._patching_measures import Chunk
    from experiments.patching import PatchingSettings


def floors(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> None:
    """Noise floors in recovery: what patches move that bring no news.

    A self-patch moves what two ways to compute one margin differ by. A same-conclusion donor (another record,
    the same stale value) moves what prompts differ by besides the conclusion: the mean absolute shift of the
    margin, over the mean gap, for its KV at the field, at the notes and at both.
    """
    least = run.noise_floor["margin"]
    scale = max(abs(float(held.gap.mean())), least)
    found = {"self_patch": least / scale}
    for where in ("field", "notes", "both"):
        shift = np.abs(stack(chunks, "twin", where) - held.corrupt)
        # A shift below what two computations of one margin differ by is not known any better than that.
        found[f"same_conclusion_{where}"] = max(float(shift.mean()), least) / scale
    run.noise_floor |= found


def claims(held: Scorer, settings: "PatchingSettings", chunks: Sequence["Chunk"]) -> list[Claim]:
    """What the experiment claims to be about 0 or, against the full patch, about 1."""
    grown = [np.asarray(c["cumulative"], float) for c in chunks]
    top = {k: np.array([g[min(k, len(g)) - 1] for g in grown]) for k in settings.sizes}
    full = stack(chunks, "states", "full_patch")
    at = settings.sizes.index(HEADLINE_K)
    half = int(np.argmin(np.abs(np.array(settings.shares) - 0.5)))
    share = f"{settings.shares[half]:g}"
    none: dict[str, np.ndarray] = {
        "field_only": stack(chunks, "states", "field_only"),
        f"random{HEADLINE_K}": stack(chunks, "random_region")[:, at].mean(-1),
        **{f"notes, {third} layers": stack(chunks, "thirds", third) for third in chunks[0]["thirds"]},
        f"first {share} of the notes": stack(chunks, "prefix")[:, half],
    }
    every: dict[str, np.ndarray] = {
        "notes_only": stack(chunks, "states", "notes_only"),
        **{f"top{k}": values for k, values in top.items() if k >= HEADLINE_K},
        f"last {share} of the notes": stack(chunks, "suffix")[:, half],
    }
    clean, corrupt = (stack(chunks, "knockouts", side, "field") for side in ("clean", "corrupt"))
    wide, knocked = "same_conclusion_both", clean - corrupt - held.gap
    return [
        *(Claim("0", name, values - held.corrupt, held, wide) for name, values in none.items()),
        Claim("0", "field_only", none["field_only"] - held.corrupt, held, "same_conclusion_field"),
        *(Claim("1", name, values - full, held, wide) for name, values in every.items()),
        Claim("1", "gap with the field knocked out", knocked, held, wide),
    ]
