"""Deviation beside causal effect: do the positions that move most hold the conclusion?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.blast_radius.deviations import Effects
from experiments.blast_radius.flips import OUTPUT, ScoredFlip
from experiments.blast_radius.settings import HEADLINE_K, BlastRadiusSettings
from experiments.blast_radius.tables import DeviationEffect, EffectKind, EffectPoint, Guide
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section, with_right_pairs
from pkv_interp.run.scoring import Resampling, Scorer, Scoring, row_of
from pkv_interp.stats import mean, rank_correlation

_GUIDES = {
    "output": "positions whose attention output deviates most",
    "v_cosine": "positions whose values deviate most",
    "effect": "positions of the largest own effects, a ceiling",
    "recency": "last positions",
    "random": "random positions",
}


@dataclass(frozen=True, eq=False)
class Swept:
    """A flip whose positions were patched, with what was found."""

    scored: ScoredFlip
    effects: Effects

    @property
    def moved(self) -> Float[np.ndarray, " notes"]:
        """Patched minus corrupt margin of every position after the field."""
        return self.effects.positions - self.scored.found.corrupt

    @property
    def recovered(self) -> Float[np.ndarray, " notes"]:
        """Recovery of every position after the field, alone."""
        return self.moved / (self.scored.found.clean - self.scored.found.corrupt)


@dataclass(frozen=True)
class EffectsPart:
    """What the report gets from effects; empty where no margin moves by more than the noise floor."""

    headlines: list[Headline]
    tables: list[TableRow]
    rows: list[Row]


def effects(semantic: Sequence[ScoredFlip], scoring: Scoring[BlastRadiusSettings]) -> EffectsPart:
    """Rank correlations, joint patches by guide, recovery by token kind, and the points of the scatter.

    Instances whose margins lie within the noise floor of each other have no effect to compare with and are
    left out.
    """
    swept = [
        Swept(scored, scored.found.effects)
        for scored in semantic
        if scored.found.effects is not None and scored.scores["margin_shift"] > scoring.floor
    ]
    if not swept:
        return EffectsPart([], [], [])
    cases = [s.scored.flip.case for s in swept]

    def section(scorer: Scorer) -> Section:
        return _figures([s for s in swept if s.scored.flip.case in scorer.cases], scorer, scoring.settings)

    headlines, tables = with_right_pairs(section, scoring.on(cases, [s.scored.found for s in swept]))
    return EffectsPart(headlines, [*tables, *_points(swept)], _rows(swept, scoring.settings))


def _figures(swept: Sequence[Swept], scorer: Scorer, settings: BlastRadiusSettings) -> Section:
    correlations, guides = _correlations(swept, scorer.resampling), _guides(swept, scorer, settings)
    return [*correlations[0], *guides[0]], [*correlations[1], *guides[1], *_kinds(swept, scorer)]


def _correlations(swept: Sequence[Swept], resampling: Resampling) -> Section:
    """Spearman's rho over the positions of an instance, averaged over instances.

    With recovery, and with its absolute value (what moves the decision either way).
    """
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for i, measure in enumerate(MEASURES):
        for effect, of in (("recovery", np.asarray), ("absolute", np.abs)):
            rhos = [(s.scored.family, rank_correlation(s.scored.most[i], of(s.recovered))) for s in swept]
            known = [(family, rho) for family, rho in rhos if rho is not None]
            if not known:
                continue
            estimate = mean([rho for _, rho in known], [family for family, _ in known], **resampling)
            lines.append(DeviationEffect.of(estimate, measure=measure, effect=effect))
            if (measure, effect) == ("output", "recovery"):
                what = "output deviation against recovery, over positions"
                headlines += [
                    Headline(name, estimate, what, bounds=(-1.0, 1.0))
                    for name in ("deviation_effect_rank_correlation", "deviation_effect_correlation")
                ]
    return headlines, lines


def _guides(swept: Sequence[Swept], scorer: Scorer, settings: BlastRadiusSettings) -> Section:
    """Recovery of joint patches by guide and size."""
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for guide in swept[0].effects.guides:
        margins = np.stack([s.effects.guides[guide] for s in swept])
        for i, k in enumerate(settings.guide_sizes):
            estimate = scorer.recovery(margins[:, i])
            lines.append(Guide.of(estimate, guide=guide, k=k))
            if k == HEADLINE_K:
                headlines.append(Headline(_arm(guide), estimate, f"{k} {_GUIDES[guide]}"))
    return headlines, lines


def _arm(guide: str) -> str:
    return f"top{HEADLINE_K}_by_{guide}"


def _rows(swept: Sequence[Swept], settings: BlastRadiusSettings) -> list[Row]:
    """A row per guide and instance, of joint patches of the headline's size."""
    sizes = [at for at, k in enumerate(settings.guide_sizes) if k == HEADLINE_K]  # one, or none
    return [
        row_of(
            s.scored.flip.case,
            f"{_arm(guide)}/{s.scored.flip.n_fillers}",
            clean=s.scored.found.clean,
            corrupt=s.scored.found.corrupt,
            patched=float(s.effects.guides[guide][at]),
            extra={"tokens": len(s.scored.flip.case.clean)},
        )
        for guide in swept[0].effects.guides
        for at in sizes
        for s in swept
    ]


def _kinds(swept: Sequence[Swept], scorer: Scorer) -> list[EffectKind]:
    """Sum of single-position recoveries by token kind."""
    lines = []
    for kind in sorted({str(k) for s in swept for k in s.scored.kinds}):
        sums = [s.scored.found.corrupt + float(s.moved[s.scored.kinds == kind].sum()) for s in swept]
        lines.append(EffectKind.of(scorer.recovery(sums), kind=kind))
    return lines


def _points(swept: Sequence[Swept]) -> list[EffectPoint]:
    """Every position of every instance, with four digits: enough for a scatter."""
    v_cosine = MEASURES.index("v_cosine")

    def short(value: float) -> float:
        return float(f"{value:.4g}")

    return [
        EffectPoint(
            instance=case.instance,
            family=case.family,
            position=case.after_change + i,
            token=case.clean.tokens[case.after_change + i],
            token_kind=str(s.scored.kinds[i]),
            output=short(s.scored.most[OUTPUT, i]),
            v_cosine=short(s.scored.most[v_cosine, i]),
            recovery=short(value),
        )
        for s in swept
        for case in [s.scored.flip.case]
        for i, value in enumerate(s.recovered)
    ]
