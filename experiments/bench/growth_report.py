"""From costs at several sizes to exponents: time, memory, arithmetic, and time against it."""

import math
from collections.abc import Mapping, Sequence

from experiments.bench.growth import Cost, Costs, GrowthResults
from experiments.bench.tables import StageCost, StageExponent
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import FREE, Headline
from pkv_interp.stats.slopes import exponent

#: All stages of an experiment together.
ALL = "all"
#: Memory under this is what the system rounds and is left out of a fit.
_LEAST_MB = 1.0


def growth_report(found: GrowthResults) -> tuple[list[Headline], list[TableRow]]:
    """Headlines and tables of the part."""
    axes: Mapping[str, Costs] = {
        "tokens": found.tokens,
        "cases": found.cases,
        "layers x heads": found.shapes,
    }
    lines = [
        StageCost(axis, c.experiment, c.stage, c.size, c.seconds, c.peak_mb, c.operations)
        for axis, costs in axes.items()
        for c in [*costs.costs, *_together(costs.costs)]
    ]
    fits = [fit for group in _groups(lines) for fit in _fits(group)]
    return _headlines(fits), [*lines, *fits]


def _together(costs: Sequence[Cost]) -> list[Cost]:
    """Per experiment and size: the sum of the stages that have every size, and their largest peak."""
    out = []
    for experiment in dict.fromkeys(cost.experiment for cost in costs):
        mine = [cost for cost in costs if cost.experiment == experiment]
        sizes = list(dict.fromkeys(cost.size for cost in mine))
        everywhere = {
            stage
            for stage in {cost.stage for cost in mine}
            if {cost.size for cost in mine if cost.stage == stage} == set(sizes)
        }
        for size in sizes:
            here = [cost for cost in mine if cost.size == size and cost.stage in everywhere]
            took, work = sum(cost.seconds for cost in here), sum(cost.operations for cost in here)
            out.append(Cost(experiment, ALL, size, took, max(cost.peak_mb for cost in here), work))
    return out


def _groups(lines: Sequence[StageCost]) -> list[list[StageCost]]:
    grouped: dict[tuple[str, str, str], list[StageCost]] = {}
    for line in lines:
        grouped.setdefault((line.axis, line.experiment, line.stage), []).append(line)
    return list(grouped.values())


def _fits(lines: Sequence[StageCost]) -> list[StageExponent]:
    sizes = [float(line.size) for line in lines]
    work = [line.operations for line in lines]
    out = [
        _fit(lines, "seconds", sizes, [line.seconds for line in lines]),
        _fit(lines, "operations", sizes, work),
        _fit(lines, "per_work", work, [line.seconds for line in lines]),
    ]
    large = [line for line in lines if line.peak_mb >= _LEAST_MB]
    out.append(_fit(large, "peak_mb", [float(x.size) for x in large], [x.peak_mb for x in large]))
    return [fit for fit in out if fit is not None]


def _fit(
    lines: Sequence[StageCost], cost: str, x: Sequence[float], y: Sequence[float]
) -> StageExponent | None:
    """The exponent; None where fewer than two sizes are left."""
    if len(set(x)) < 2:
        return None
    first = lines[0]
    return StageExponent.of(
        exponent(x, y),
        axis=first.axis,
        experiment=first.experiment,
        stage=first.stage,
        cost=cost,
        smallest=first.size,
        largest=lines[-1].size,
        last=math.log(y[-1] / y[-2]) / math.log(x[-1] / x[-2]),
    )


def _headlines(fits: Sequence[StageExponent]) -> list[Headline]:
    """Growth with tokens; a grid has sizes of its own and stands for itself."""
    out = []
    for experiment, stage, name, noun in (
        ("circuit", ALL, "circuit", "circuit's stages"),
        ("patching", ALL, "patching", "patching's stages but grids"),
        ("patching", "grid", "grid", "a patching grid"),
        ("editing", ALL, "editing", "editing's stages"),
    ):
        for cost, end, what in (("seconds", "", "tokens"), ("per_work", "_work", "its arithmetic")):
            out += [
                Headline(
                    f"{name}_exponent{end}",
                    fit.estimate,
                    f"growth of {noun} with {what}",
                    needs_gate=False,
                    bounds=FREE,
                )
                for fit in fits
                if (fit.axis, fit.experiment, fit.stage, fit.cost) == ("tokens", experiment, stage, cost)
            ]
    return out
