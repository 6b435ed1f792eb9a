"""Times and rates of runs, with intervals over runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.serving.load import LoadRun
from pkv_interp.stats import Estimate
from pkv_interp.stats.repeats import ratio_over_repeats

PERCENTILES = (50, 90, 99)


def first_tokens(run: LoadRun, percentile: int) -> float:
    """A percentile of the seconds to the first token of a run, over requests that were answered."""
    return float(np.percentile([one.first for one in run.requests if not one.failed], percentile))


def first_token(runs: Sequence[LoadRun], percentile: int) -> Estimate:
    """That percentile over runs: the geometric mean, as times are positive and spread by factors."""
    return ratio_over_repeats([first_tokens(run, percentile) for run in runs])


def first_token_ratio(above: Sequence[LoadRun], below: Sequence[LoadRun], percentile: int) -> Estimate:
    """A percentile of one arm over that of another, run by run.

    Args:
        above: the one above the line.
        below: the other, with the same repeats in the same order.
        percentile: of the seconds to the first token.
    """
    pairs = zip(above, below, strict=True)
    return ratio_over_repeats([first_tokens(a, percentile) / first_tokens(b, percentile) for a, b in pairs])


def throughput(runs: Sequence[LoadRun]) -> Estimate:
    """Answers a second over runs."""
    return ratio_over_repeats([run.throughput for run in runs])


def throughput_ratio(above: Sequence[LoadRun], below: Sequence[LoadRun]) -> Estimate:
    """Answers a second of one arm over another's, run by run."""
    return ratio_over_repeats([a.throughput / b.throughput for a, b in zip(above, below, strict=True)])


def hit_rates(runs: Sequence[LoadRun]) -> tuple[float, float]:
    """Share of prompt tokens that were not computed: as requests tell it, and as the server's counters do."""
    out = []
    for counts in ([run.told for run in runs], [run.counters for run in runs]):
        cached, computed = sum(one.cached for one in counts), sum(one.computed for one in counts)
        out.append(cached / (cached + computed))
    return out[0], out[1]
