"""Deviation beside causal effect: do the positions that move most hold the conclusion?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._blast_radius_units import OUTPUT, Options, Unit, line
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.records import Run
from pkv_interp.stats import Estimate, mean, rank_correlation
from pkv_interp.stats.recovery import recovery

if TYPE_CHECKING:
    from experiments.blast_radius import BlastRadiusSettings

#: Size of the joint patches that the headline speaks of.
HEADLINE_K = 8


def effects(run: Run, settings: "BlastRadiusSettings", semantic: Sequence[Unit], options: Options) -> None:
    """Rank correlations, joint patches by guide, recovery by token kind, and the points of the scatter.

    Instances whose margins lie within the noise floor of each other have no effect to compare with and are
    left out. What rests on decisions stays out of the headline when the competence gate has failed.
    """
    floor = run.noise_floor["margin"]
    swept = [u for u in semantic if "positions" in u.chunk and u.scores["margin_shift"] > floor]
    if not swept:
        return
    scorer = _Scorer(swept, floor, options)
    correlations = _correlations(swept, options)
    guides = _guides(run, settings, scorer)
    kinds = _kinds(scorer)
    run.tables |= {"deviation_effect": [line(estimate, **columns) for columns, estimate in correlations]}
    run.tables |= {"guides": [line(estimate, **columns) for columns, estimate in guides]}
    run.tables |= {"effect_kinds": kinds, "effect_points": _points(swept)}
    if run.competence is None or not run.competence.passed:
        return
    for columns, estimate in correlations:
        if columns == {"measure": "output", "effect": "recovery"}:
            run.headline["deviation_effect_rank_correlation"] = estimate
            run.headline["deviation_effect_correlation"] = estimate
    for columns, estimate in guides:
        if columns["k"] == HEADLINE_K:
            run.headline[f"top{HEADLINE_K}_by_{columns['guide']}"] = estimate


class _Scorer:
    """Recoveries over the swept units."""

    def __init__(self, swept: Sequence[Unit], floor: float, options: Options) -> None:
        self.swept, self.floor, self.options = swept, floor, options
        self.families = [unit.family for unit in swept]
        self.clean = np.array([unit.chunk["clean"] for unit in swept])
        self.corrupt = np.array([unit.chunk["corrupt"] for unit in swept])

    def estimate(self, patched: np.ndarray) -> Estimate:
        """Recovery of one arm, as a ratio of means."""
        return recovery(
            patched, self.clean, self.corrupt, self.families, noise_floor=self.floor, **self.options
        ).estimate


def _moved(unit: Unit) -> np.ndarray:
    """Patched minus corrupt margin of every position after the field."""
    return np.asarray(unit.chunk["positions"], float) - unit.chunk["corrupt"]


def _recovered(unit: Unit) -> np.ndarray:
    return _moved(unit) / (unit.chunk["clean"] - unit.chunk["corrupt"])


def _correlations(swept: Sequence[Unit], options: Options) -> list[tuple[dict[str, Any], Estimate]]:
    """Spearman's rho over the positions of an instance, averaged over instances.

    With recovery, and with its absolute value (what moves the decision either way).
    """
    found = []
    for i, measure in enumerate(MEASURES):
        for effect, of in (("recovery", np.asarray), ("absolute", np.abs)):
            rhos = [(unit.family, rank_correlation(unit.most[i], of(_recovered(unit)))) for unit in swept]
            known = [(family, rho) for family, rho in rhos if rho is not None]
            if known:
                estimate = mean([rho for _, rho in known], [family for family, _ in known], **options)
                found.append(({"measure": measure, "effect": effect}, estimate))
    return found


def _guides(
    run: Run, settings: "BlastRadiusSettings", scorer: _Scorer
) -> list[tuple[dict[str, Any], Estimate]]:
    """Recovery of joint patches by guide and size; a row per instance for the headline's size."""
    found = []
    for guide in scorer.swept[0].chunk["guides"]:
        margins = np.stack([np.asarray(unit.chunk["guides"][guide], float) for unit in scorer.swept])
        for i, k in enumerate(settings.guide_sizes):
            found.append(({"guide": guide, "k": k}, scorer.estimate(margins[:, i])))
            if k == HEADLINE_K:
                _rows(run, scorer.swept, f"top{k}_by_{guide}", margins[:, i])
    return found


def _rows(run: Run, swept: Sequence[Unit], arm: str, margins: np.ndarray) -> None:
    for unit, value in zip(swept, margins, strict=True):
        case = unit.found.case
        run.rows.append(
            {
                "family": case.family,
                "split": case.split,
                "instance": case.instance,
                "wording": case.wording,
                "arm": f"{arm}/{unit.found.n_fillers}",
                "clean": unit.chunk["clean"],
                "corrupt": unit.chunk["corrupt"],
                "patched": float(value),
                "extra": {"tokens": len(case.clean)},
            }
        )


def _kinds(scorer: _Scorer) -> list[dict[str, Any]]:
    """Sum of single-position recoveries by token kind."""
    lines = []
    for kind in sorted({str(k) for unit in scorer.swept for k in unit.kinds}):
        sums = [u.chunk["corrupt"] + float(_moved(u)[u.kinds == kind].sum()) for u in scorer.swept]
        lines.append(line(scorer.estimate(np.array(sums)), kind=kind))
    return lines


def _points(swept: Sequence[Unit]) -> list[dict[str, Any]]:
    """Every position of every instance: output deviation, deviation of V (cosine), and recovery."""
    v_cosine = MEASURES.index("v_cosine")
    return [
        {
            "instance": unit.found.case.instance,
            "family": unit.family,
            "position": position,
            "token": unit.found.case.clean.tokens[position],
            "token_kind": str(unit.kinds[i]),
            "output": float(f"{unit.most[OUTPUT, i]:.4g}"),
            "v_cosine": float(f"{unit.most[v_cosine, i]:.4g}"),
            "recovery": float(f"{value:.4g}"),
        }
        for unit in swept
        for i, value in enumerate(_recovered(unit))
        for position in [unit.found.case.after_change + i]
    ]
