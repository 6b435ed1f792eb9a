"""Noise floors of the patching experiment, and its claims of "nothing" and of "everything"."""

from collections.abc import Sequence

import numpy as np

from experiments.patching.scored import Scored
from experiments.patching.settings import HEADLINE_K, PatchingSettings
from pkv_interp.run.claims import Claim, same_conclusion_floors
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked


def noise_floors(held: Scorer, scored: Sequence[Scored]) -> dict[str, float]:
    """Noise floors in recovery: margin shifts from patches that do not change the conclusion.

    A self-patch moves the margin by the largest difference between equivalent computations. A same-conclusion
    donor (another record, the same stale value) moves it by what prompts differ in besides the conclusion:
    the mean absolute shift, over the mean gap, for its KV at the field, at the notes and at both. Own pairs
    have no such donors.
    """
    least = held.noise_floor
    moved = {where: stacked(scored, lambda s, where=where: s.twin[where]) for where in scored[0].twin}
    floors = same_conclusion_floors(moved, held.corrupt, held.gap, least)
    return {"self_patch": least / floors.scale, **floors.by_name}


def claims(held: Scorer, scored: Sequence[Scored], settings: PatchingSettings) -> list[Claim]:
    """What the experiment claims to be about 0 or, against the full patch, about 1.

    Own pairs make no claim: they have no same-conclusion donors to report beside it, and may be of a single
    family.
    """
    if not scored[0].twin:
        return []
    grown = [one.cumulative for one in scored]
    top = {k: np.array([g[min(k, len(g)) - 1] for g in grown]) for k in settings.sizes}
    full, field_only, notes_only = (
        stacked(scored, lambda s, state=state: s.states[state])
        for state in ("full_patch", "field_only", "notes_only")
    )
    at = settings.sizes.index(HEADLINE_K)
    half = int(np.argmin(np.abs(np.array(settings.shares) - 0.5)))
    share = f"{settings.shares[half]:g}"
    none = {
        f"random{HEADLINE_K}": stacked(scored, lambda s: s.random["region"].margins[at]).mean(-1),
        **{
            f"notes, {third} layers": stacked(scored, lambda s, third=third: s.thirds[third])
            for third in scored[0].thirds
        },
        f"first {share} of the notes": stacked(scored, lambda s: s.prefix[half]),
    }
    every = {
        "notes_only": notes_only,
        **{f"top{k}": values for k, values in top.items() if k >= HEADLINE_K},
        f"last {share} of the notes": stacked(scored, lambda s: s.suffix[half]),
    }
    hidden = stacked(scored, lambda s: s.hidden_clean["field"] - s.hidden_corrupt["field"])
    wide = "same_conclusion_both"
    return [
        Claim("0", "field_only", field_only - held.corrupt, held, "same_conclusion_field"),
        *(Claim("0", name, values - held.corrupt, held, wide) for name, values in none.items()),
        *(Claim("1", name, values - full, held, wide) for name, values in every.items()),
        Claim("1", "gap with the field knocked out", hidden - held.gap, held, wide),
    ]
