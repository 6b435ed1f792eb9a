"""Attention against effect, and the read heads' pattern apart from their values."""

import numpy as np
from einops import rearrange
from jaxtyping import Float

from experiments.anatomy.heads import HALVES, Heads
from experiments.anatomy.measure import Measured
from experiments.anatomy.settings import HEADLINE_K, AnatomySettings
from experiments.anatomy.tables import AttentionLine, HeadLine, HeadSet
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.run.stage import stacked
from pkv_interp.stats import site_spearman

Section = tuple[list[Headline], list[TableRow]]
WHATS = ("both", *HALVES)
_WORDS = {"both": "outputs", "pattern": "attention patterns", "values": "attended values"}


def head_halves(found: Measured, held: Scorer, settings: AnatomySettings) -> Section:
    """Sets of heads whole and in halves, every head alone, and what heads look at beside what they do."""
    scored = found.heads.of(held.cases)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for what in WHATS:
        top = stacked(scored, lambda s, what=what: s.top[what])
        random = stacked(scored, lambda s, what=what: s.random[what]).mean(-1)
        for i, k in enumerate(settings.sizes):
            for arm, values in (("top", top[:, i]), ("random", random[:, i])):
                if arm == "random" and len(found.chosen.random[i][0]) < k:
                    continue  # too few other heads in these layers: no control of this size exists
                name = f"heads_{what}_{arm}{k}"
                stated = k == HEADLINE_K
                estimate = held.arm(name, values) if stated else held.recovery(values)
                lines.append(HeadSet.of(estimate, arm=arm, what=what, k=k))
                if stated:
                    which = f"{k} read heads" if arm == "top" else f"{k} random heads"
                    headlines.append(Headline(name, estimate, f"{_WORDS[what]} of {which} at the decision"))
    seen = _attention(scored, held)
    return headlines + seen[0], [*lines, *_each(found, scored, held), *seen[1]]


def _each(found: Measured, scored: list[Heads], held: Scorer) -> list[HeadLine]:
    pooled = {
        what: pooled_effect(
            stacked(scored, lambda s, what=what: s.each[what]), held.corrupt, held.corrupt + held.gap
        )
        for what in WHATS
    }
    looks = {
        name: stacked(scored, lambda s, name=name: s.attention[name]).mean(0) for name in ("notes", "field")
    }
    moved = stacked(scored, lambda s: s.moved).mean(0)
    rank = {head: i + 1 for i, head in enumerate(found.chosen.readers)}
    return [
        HeadLine(
            la,
            h,
            rank[la, h],
            both=float(pooled["both"][la, h]),
            pattern=float(pooled["pattern"][la, h]),
            values=float(pooled["values"][la, h]),
            attention_notes=float(looks["notes"][la, h]),
            attention_field=float(looks["field"][la, h]),
            attention_moved=float(moved[la, h]),
        )
        for la, h in sorted(rank)
    ]


def _attention(scored: list[Heads], held: Scorer) -> Section:
    """Rank correlations over heads; none where a side is constant, as where no window reaches the field."""
    looks = {
        name: stacked(scored, lambda s, name=name: s.attention[name])
        for name in scored[0].attention
        if all(name in one.attention for one in scored)
    }
    looks["moved"] = stacked(scored, lambda s: s.moved)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for name, mass in looks.items():
        for what in WHATS:
            effect = stacked(scored, lambda s, what=what: s.each[what]) - held.corrupt[:, None, None]
            effect = _by_head(np.sign(held.gap)[:, None, None] * effect)
            seen, done = _by_head(mass), np.abs(effect) if name == "moved" else effect
            if np.ptp(seen.mean(0)) == 0.0 or np.ptp(done.mean(0)) == 0.0:
                continue
            estimate = site_spearman(seen, done, held.families, seed=held.resampling["seed"])
            lines.append(AttentionLine.of(estimate, attention=name, effect=what))
            if what == "both":
                words = "attention that moves" if name == "moved" else f"attention to the {name}"
                headlines.append(
                    Headline(
                        f"attention_{name}_rank_correlation",
                        estimate,
                        f"{words} against effect, over heads",
                        bounds=(-1.0, 1.0),
                    )
                )
    return headlines, lines


def _by_head(values: Float[np.ndarray, "cases layers heads"]) -> Float[np.ndarray, "cases sites"]:
    return rearrange(values, "cases layers heads -> cases (layers heads)")
