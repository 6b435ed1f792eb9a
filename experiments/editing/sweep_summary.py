"""P(correct) by selector and number of recomputed tokens, and the smallest number of full quality."""

from collections.abc import Sequence

import numpy as np

from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.sweep import CAUSAL, RANDOM, Sweep
from experiments.editing.tables import KStar, Selector
from pkv_interp.measure.edit_decisions import ComparedDecision
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.stats import first_crossing


def selectors(found: Measured, scorer: EditScorer, sizes: Sequence[int]) -> Part:
    """Every selector at every K, and its ``k_star`` where it has one.

    Args:
        found: everything.
        scorer: makes the estimates.
        sizes: values of K.
    """
    scenes = found.cases.one_way
    swept = found.sweep.of(scenes)
    headlines: list[Headline] = []
    curves: list[TableRow] = []
    stars: list[TableRow] = []
    for selector in (*swept[0].selectors, RANDOM):
        curves += _curve(scorer, scenes, swept, selector, sizes)
        star, headline = _star(scorer, scenes, swept, selector, sizes)
        stars.append(star)
        headlines += [] if headline is None else [headline]
    return headlines, [*curves, *stars]


def _draws(sweep: Sweep, selector: str) -> list[list[ComparedDecision]]:
    return sweep.random if selector == RANDOM else [sweep.selectors[selector]]


def _by_size(swept: Sequence[Sweep], selector: str, what: str) -> np.ndarray:
    """One measure of a selector, [scenes, sizes], the mean over random draws."""
    values = [[[getattr(d, what) for d in arm] for arm in _draws(sweep, selector)] for sweep in swept]
    return np.asarray(values, float).mean(1)


def _curve(
    scorer: EditScorer,
    scenes: Sequence[EditScene],
    swept: Sequence[Sweep],
    selector: str,
    sizes: Sequence[int],
) -> list[Selector]:
    right, margin, kl = (_by_size(swept, selector, what) for what in ("right", "margin", "kl"))
    stale = np.array([sweep.stale.margin for sweep in swept])
    gap = float((np.array([sweep.full.margin for sweep in swept]) - stale).sum())
    return [
        Selector.of(
            scorer.share(scenes, right[:, i]),
            selector=selector,
            k=k,
            **interval("kl", scorer.unsigned(scenes, kl[:, i])),
            margin_recovery=float((margin[:, i] - stale).sum() / gap) if gap else None,
        )
        for i, k in enumerate(sizes)
    ]


def _star(
    scorer: EditScorer,
    scenes: Sequence[EditScene],
    swept: Sequence[Sweep],
    selector: str,
    sizes: Sequence[int],
) -> tuple[KStar, Headline | None]:
    whole = np.array([sweep.full.right for sweep in swept], float)
    # Against the full re-prefill on the same scenes: where that errs, an arm may as well.
    star = first_crossing(
        _by_size(swept, selector, "right") - whole[:, None],
        [float(k) for k in sizes],
        [scene.family for scene in scenes],
        0.0,
        seed=scorer.seed,
    )
    told = {"selector": selector, "full": float(whole.mean()), "largest_k": sizes[-1]}
    if star is None:
        return KStar(**told, reached=False), None
    name = "k_star" if selector == CAUSAL else f"k_star_{selector}"
    what = f"fewest recomputed tokens of full quality, {selector.replace('_', ' ')}"
    headline = Headline(name, star, what, bounds=NOT_NEGATIVE)
    return KStar(**told, reached=True, **star.model_dump()), headline
