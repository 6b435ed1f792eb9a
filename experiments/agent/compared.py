"""Every arm against every other, in success and in cost, and which of two dominates."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from experiments.agent.cost import ratios
from experiments.agent.tables import ArmPair
from experiments.agent.turns import Turns
from pkv_interp.agent import ARMS, Arm
from pkv_interp.agent.arms import FIELD_ONLY, FULL, PREFIX_CACHE, UNIFIED
from pkv_interp.records.tables import interval
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.stats import Estimate, Pair, mean, pairwise

#: Phases in which arms are compared: all turns, and those whose value is not the first one.
COMPARED_PHASES = ("all", "changed")
#: Largest adjusted p value at which one arm is said to be right more often than another.
LEVEL = 0.05
#: What a difference of two shares cannot go below and above.
DIFFERENCE = (-1.0, 1.0)


def in_order() -> tuple[Arm, ...]:
    """All arms: the one that the question is about first, and the baseline last.

    So every difference with the unified arm is its own less another's, and every one with the prefix cache
    is another's less that of the cache.
    """
    ends = (UNIFIED, PREFIX_CACHE)
    return (UNIFIED, *(arm for arm in ARMS if arm not in ends), PREFIX_CACHE)


def arm_pairs(turns: Turns, layout: str) -> list[ArmPair]:
    """Every pair of arms over the episodes of one layout, by phase.

    P values are adjusted by Holm over the pairs of one layout and phase. Costs are those of whole episodes,
    in either phase: a session is paid for as a whole.

    Args:
        turns: of all episodes of the layout.
        layout: its name in the table.
    """
    names = [arm.name for arm in in_order()]
    costs = {
        (first, second): ratios(turns.episodes, turns.runs, (second, first), turns.resampling)
        for first, second in combinations(names, 2)
    }
    lines = []
    for phase in COMPARED_PHASES:
        keep = turns.phases.get(phase, np.ones(len(turns.places), bool))
        domains = np.array(turns.domains)[keep]
        right = {name: turns.right(name)[keep] for name in names}
        for pair in pairwise(right, domains.tolist(), **turns.resampling):
            gap, cost = right[pair.first] - right[pair.second], costs[pair.first, pair.second]
            by_family = np.array([gap[domains == name].sum() for name in dict.fromkeys(turns.domains)])
            lines.append(
                ArmPair.of(
                    mean(gap, domains.tolist(), bounds=DIFFERENCE, **turns.resampling),
                    layout=layout,
                    phase=phase,
                    first=pair.first,
                    second=pair.second,
                    p_value=pair.p_value,
                    p_holm=pair.p_holm,
                    families_above=int((by_family > 0).sum()),
                    families_below=int((by_family < 0).sum()),
                    **interval("seconds_ratio", cost["seconds"]),
                    **interval("tokens_ratio", cost["tokens"]),
                    dominates=dominating(pair, list(cost.values())),
                )
            )
    return lines


def unified_headlines(turns: Turns, pairs: Sequence[ArmPair]) -> list[Headline]:
    """The unified arm against what a reader would use instead, in success and in cost.

    Args:
        turns: of all episodes of the layout that was asked for.
        pairs: of the same.
    """
    success = {(p.phase, p.second): p.estimate for p in pairs if p.first == UNIFIED.name}
    out: list[Headline] = []
    for name in (PREFIX_CACHE.name, FIELD_ONLY.name, FULL.name):
        cost = ratios(turns.episodes, turns.runs, (name, UNIFIED.name), turns.resampling)
        words = f"success of unified less that of {name}"
        out += [
            Headline(f"success_unified_minus_{name}", success["all", name], words, bounds=DIFFERENCE),
            Headline(
                f"success_changed_unified_minus_{name}",
                success["changed", name],
                f"{words}, value changed",
                bounds=DIFFERENCE,
            ),
            # What an arm costs does not rest on decisions.
            Headline(
                f"tokens_{name}_over_unified",
                cost["tokens"],
                f"tokens run by {name} over unified",
                needs_gate=False,
                bounds=NOT_NEGATIVE,
            ),
        ]
        if name != FULL.name:  # whose time over the unified arm's is a speed-up, stated for every arm
            out.append(
                Headline(
                    f"ttft_{name}_over_unified",
                    cost["seconds"],
                    f"time to first token of {name} over unified",
                    needs_gate=False,
                    bounds=NOT_NEGATIVE,
                )
            )
    return out


def dominating(pair: Pair, costs: Sequence[Estimate]) -> str | None:
    """Which of two arms dominates the other, None where neither does.

    An arm dominates when in the sample it is right no less often, no cost of it is shown to be higher, and an
    advantage is shown: it is right more often (adjusted p below `LEVEL`), or one of its costs is lower (the
    interval does not reach 1). With few families, no less often in the sample is no proof of equivalence.

    Args:
        pair: the difference in success.
        costs: each cost of the second arm over the first's.
    """
    better = pair.p_holm < LEVEL
    for name, sign in ((pair.first, 1), (pair.second, -1)):
        gap = sign * pair.difference.value
        sides = [sign * _side_of_one(cost) for cost in costs]
        if gap >= 0 and min(sides) >= 0 and ((better and gap > 0) or max(sides) > 0):
            return name
    return None


def _side_of_one(ratio: Estimate) -> int:
    """1 where the whole interval lies above 1, -1 where it lies below, 0 where it does neither."""
    if ratio.ci_low is None or ratio.ci_high is None:
        return 0
    return int(ratio.ci_low > 1.0) - int(ratio.ci_high < 1.0)
