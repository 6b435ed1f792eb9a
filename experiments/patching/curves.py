"""Growing sets of positions: by rank, at random, from the end and from the start; and how many it takes."""

import numpy as np

from experiments.patching.measure import Measured
from experiments.patching.settings import HEADLINE_K, PatchingSettings
from experiments.patching.tables import K90, KCurve, RankCurve, ShareCurve
from pkv_interp.measure.anchor_ranking import anchors
from pkv_interp.measure.patching import first_reaching
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import UNSIGNED, Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.stats import mean

#: Share of the recovery whose price in positions is the headline k90.
LEVEL = 0.9


def position_curves(found: Measured, held: Scorer, settings: PatchingSettings) -> Section:
    """Curves over sizes and shares, and the number of positions that recover the decision."""
    curve, needed = _by_size(found, held, settings), _needed(found, held)
    return curve[0] + needed[0], [*curve[1], *_by_share(found, held, settings), *needed[1]]


def _by_size(found: Measured, held: Scorer, settings: PatchingSettings) -> Section:
    scored = found.scored.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for i, k in enumerate(settings.sizes):
        top = [one.cumulative[min(k, len(one.cumulative)) - 1] for one in scored]
        stated = k == HEADLINE_K
        estimate = held.arm(f"top{k}", top) if stated else held.recovery(top)
        if stated:
            headlines.append(Headline(f"top{k}", estimate, f"KV of the {k} best positions of the notes"))
        lines.append(KCurve.of(estimate, curve="top", k=k, matched=None))
        for strata in ("region", "token_kind"):
            arm = f"random_{strata}"
            sets = [one.random[strata] for one in scored]
            values = stacked(sets, lambda r, i=i: r.margins[i]).mean(-1)
            estimate = held.arm(f"{arm}{k}", values) if stated else held.recovery(values)
            if stated and strata == "region":
                what = f"KV of {k} random positions of the same regions"
                headlines.append(Headline(f"random{k}", estimate, what))
            matched = float(np.mean([r.matched[i] for r in sets]))
            lines.append(KCurve.of(estimate, curve=arm, k=k, matched=matched))
    return headlines, lines


def _by_share(found: Measured, held: Scorer, settings: PatchingSettings) -> list[ShareCurve]:
    scored = found.scored.of(held.cases)
    sides = {"suffix": stacked(scored, lambda s: s.suffix), "prefix": stacked(scored, lambda s: s.prefix)}
    return [
        ShareCurve.of(estimate, curve=side, share=share)
        for side, values in sides.items()
        for share, estimate in zip(settings.shares, held.recoveries(values), strict=True)
    ]


def _needed(found: Measured, held: Scorer) -> Section:
    grown = [one.cumulative for one in found.scored.of(held.cases)]
    live = np.abs(held.gap) > held.floor
    needed = [
        first_reaching((g - corrupt) / gap, LEVEL) if on else None
        for g, corrupt, gap, on in zip(grown, held.corrupt, held.gap, live, strict=True)
    ]
    counted = [n if n is not None else len(g) for n, g in zip(needed, grown, strict=True)]
    # No count is below nothing, and neither is its interval.
    estimate = mean(counted, held.families, bounds=UNSIGNED, **held.resampling)
    pooled = [
        held.recovery([g[min(k, len(g) - 1)] for g in grown]).value for k in range(max(map(len, grown)))
    ]
    known = [
        float(np.mean([anchor in found.rankings[case.family].effect for anchor in anchors(case)]))
        for case in held.cases
    ]
    line = K90.of(
        estimate,
        pooled_curve=first_reaching(np.array(pooled), LEVEL),
        never_reached=float(np.mean([n is None for n in needed])),
        positions=float(np.mean([len(g) for g in grown])),
        ranked_positions=float(np.mean(known)),
    )
    headline = Headline("k90", estimate, "positions that recover 0.9, best first", bounds=NOT_NEGATIVE)
    return [headline], [line, *(RankCurve(k + 1, value) for k, value in enumerate(pooled))]
