"""Noise floors of the patching experiment, and tests of its claims of "nothing" and of "everything"."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._patching_cases import HEADLINE_K
from experiments._scores import Scorer, stack
from pkv_interp.records import Run
from pkv_interp.stats import holm, tost

if TYPE_CHECKING:
    from experiments._patching_measures import Chunk
    from experiments.patching import PatchingSettings

ALPHA = 0.05


def floors(run: Run, held: Scorer, chunks: Sequence["Chunk"]) -> dict[str, float]:
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
    return found


def equivalences(
    run: Run, held: Scorer, settings: "PatchingSettings", chunks: Sequence["Chunk"], floor: dict[str, float]
) -> None:
    """Two one-sided tests of each claim of "about 0" or, against the full patch, "about 1"; with Holm."""
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
    effects = [("0", name, values - held.corrupt, "same_conclusion_both") for name, values in none.items()]
    effects += [("0", "field_only", none["field_only"] - held.corrupt, "same_conclusion_field")]
    effects += [("1", name, values - full, "same_conclusion_both") for name, values in every.items()]
    effects += [("1", "gap with the field knocked out", clean - corrupt - held.gap, "same_conclusion_both")]
    lines: list[dict[str, Any]] = []
    for expected, name, effect, source in effects:
        found = tost(effect, held.families, floor[source], held.gap, alpha=ALPHA, **held.options)
        lines.append(
            {
                "claim": f"{name} is about {expected}",
                "arm": name,
                "difference": found.estimate.value,
                "ci90_low": found.estimate.ci_low,
                "ci90_high": found.estimate.ci_high,
                "floor": found.floor,
                "floor_of": source,
                "p_value": found.p_value,
                "equivalent": found.equivalent,
            }
        )
    for line, adjusted in zip(lines, holm([line["p_value"] for line in lines]), strict=True):
        line["p_holm"] = float(adjusted)
        line["equivalent"] = bool(line["equivalent"] and adjusted < ALPHA)
    run.tables["equivalence"] = lines
