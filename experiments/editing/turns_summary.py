"""Chains of thought over edited caches, and the drift of a cache that is edited every turn."""

from collections.abc import Sequence

import numpy as np

from experiments.editing.horizon import REFERENCE, Horizon, Turn
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.tables import ChainArm, HorizonSlope, HorizonTurn
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.stats.slopes import slope


def chains(found: Measured, scorer: EditScorer) -> Part:
    """Decisions with and without a chain from three cache states, and the chain's length."""
    scenes = found.cases.chains
    if not scenes:
        return [], []
    reasoned = found.chains.of(scenes)
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for method in reasoned[0].methods:
        mine = [one.methods[method] for one in reasoned]
        plain = scorer.share(scenes, [one.plain.right for one in mine])
        after = scorer.share(scenes, [one.chain.right for one in mine])
        lines += [
            ChainArm.of(
                plain,
                method=method,
                how="plain",
                is_action=float(np.mean([one.plain.is_action for one in mine])),
                chain_tokens=0.0,
                truncated=0.0,
            ),
            ChainArm.of(
                after,
                method=method,
                how="chain",
                is_action=float(np.mean([one.chain.is_action for one in mine])),
                chain_tokens=float(np.mean([one.tokens for one in mine])),
                truncated=float(np.mean([one.truncated for one in mine])),
            ),
        ]
        if method == "field_only":
            headlines += [
                Headline("no_cot_field_only", plain, "field alone, no chain of thought", bounds=SHARE),
                Headline("cot_field_only", after, "field alone, then a chain of thought", bounds=SHARE),
            ]
    return headlines, lines


def horizons(found: Measured, scorer: EditScorer) -> Part:
    """P(correct) and margin error by turn and arm; the drift is one slope an instance, averaged by family."""
    scenes = found.cases.horizons
    lasting = found.horizons.of(scenes)
    first = lasting[0].turns
    lines: list[TableRow] = []
    for i, turn in enumerate(first):
        for arm in turn.arms:
            mine = [one.turns[i].arms[arm] for one in lasting]
            lines.append(
                HorizonTurn.of(
                    scorer.share(scenes, [one.decision.right for one in mine]),
                    turn=turn.number,
                    method=arm,
                    margin_error=float(np.mean([one.margin_error for one in mine])),
                    tokens=float(np.mean([one.tokens for one in mine])),
                )
            )
    headlines: list[Headline] = []
    for arm in first[0].arms:
        for side in ("new", "old"):
            drift = _drift(scorer, scenes, lasting, arm, side)
            headlines += drift[0]
            lines += drift[1]
    return headlines, lines


def _drift(
    scorer: EditScorer, scenes: Sequence[EditScene], lasting: Sequence[Horizon], arm: str, side: str
) -> Part:
    """Slopes of one arm over the turns whose value is the new one, or the old one.

    An arm that ignores every edit is right on all of the latter and none of the former: together they would
    hide what it does.
    """
    kept: list[list[Turn]] = [
        [turn for turn in one.turns if (turn.number % 2 == 1) == (side == "new")] for one in lasting
    ]
    if len(kept[0]) < 2:
        return [], []
    at = [turn.number for turn in kept[0]]
    right = [[float(turn.arms[arm].decision.right) for turn in turns] for turns in kept]
    change = scorer.mean(scenes, [slope(at, values) for values in right])
    level = scorer.share(scenes, [float(np.mean(values)) for values in right])
    told = {"method": arm, "turns": side}
    lines: list[TableRow] = [
        HorizonSlope.of(change, **told, what="p_correct a turn", **interval("p_correct", level))
    ]
    headlines: list[Headline] = []
    if side == "new":
        name = "" if arm == "erratum" else f"_{arm}"
        spoken = arm.replace("_", " ")
        headlines = [
            Headline(f"horizon_slope{name}", change, f"change a turn of the share right, {spoken}"),
            Headline(f"horizon{name}", level, f"right on turns with the new value, {spoken}", bounds=SHARE),
        ]
    if arm != REFERENCE:
        errors = [slope(at, [turn.arms[arm].margin_error for turn in turns]) for turns in kept]
        lines.append(HorizonSlope.of(scorer.mean(scenes, errors), **told, what="margin_error a turn"))
    return headlines, lines
