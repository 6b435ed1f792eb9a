"""How deviation grows with distance, depth, length and conditioning strength."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments._blast_radius_units import OUTPUT, Options, Unit, grouped, line, mean_score
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.stats import mean
from pkv_interp.stats.slopes import slope
from pkv_interp.tasks.field_classes import CLASSES

#: Distances from the field's end, in tokens, at which bins start.
BINS = (1, 9, 17, 33, 65, 129, 257, 513)


def _profile(unit: Unit, fillers_only: bool) -> tuple[np.ndarray, np.ndarray]:
    """Distance in tokens and output deviation (largest over layers) of the tokens after the field."""
    kept = unit.kinds == "filler" if fillers_only else np.ones(unit.kinds.size, bool)
    return 1.0 + np.flatnonzero(kept), unit.output[kept]


def by_distance(semantic: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """Mean output deviation per class and bin of distance; all tokens, and words of fillers alone."""
    lines = []
    for (name,), mine in grouped(semantic, "field_class"):
        for tokens in ("all", "filler"):
            profiles = [(unit.family, *_profile(unit, tokens == "filler")) for unit in mine]
            for low, stop in zip(BINS, (*BINS[1:], np.inf), strict=True):
                inside = [(family, y[(x >= low) & (x < stop)]) for family, x, y in profiles]
                kept = [(family, float(y.mean())) for family, y in inside if y.size]
                if kept:
                    found = mean([y for _, y in kept], [family for family, _ in kept], **options)
                    end = None if np.isinf(stop) else int(stop) - 1
                    lines.append(line(found, field_class=name, tokens=tokens, start=low, end=end))
    return lines


def by_depth(semantic: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """Mean deviation of the tokens after the field, per class, measure and layer."""
    lines = []
    for (name,), mine in grouped(semantic, "field_class"):
        families, depth = [unit.family for unit in mine], np.stack([unit.depth for unit in mine])
        lines += [
            line(
                mean(depth[:, i, layer], families, **options), field_class=name, measure=measure, layer=layer
            )
            for i, measure in enumerate(MEASURES)
            for layer in range(depth.shape[2])
        ]
    return lines


def trends(semantic: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """Slopes, one per instance and then averaged, so that intervals are by family.

    ``distance``: output deviation per doubling of the distance, over all tokens; ``distance_fillers``: over
    words of fillers, whose content is alike everywhere. ``depth``: mean output deviation from first to last
    layer. ``fillers``: share above 0.1 per doubling of 1 + fillers. ``conditioning``: share above 0.1 per
    step of class (low 0, medium 1, high 2).
    """
    lines: list[dict[str, Any]] = []

    def add(trend: str, name: str | None, points: list[tuple[str, Any, Any]]) -> None:
        slopes = [(family, slope(x, y)) for family, x, y in points if np.unique(np.asarray(x)).size > 1]
        if slopes:
            found = mean([s for _, s in slopes], [family for family, _ in slopes], **options)
            lines.append(line(found, trend=trend, field_class=name))

    for (name,), mine in grouped(semantic, "field_class"):
        for trend, only in (("distance", False), ("distance_fillers", True)):
            profiles = [(unit.family, *_profile(unit, only)) for unit in mine]
            add(trend, name, [(family, np.log2(x), y) for family, x, y in profiles])
        depths = [(unit.family, unit.depth[OUTPUT]) for unit in mine]
        add("depth", name, [(family, np.linspace(0, 1, d.size), d) for family, d in depths])
        add("fillers", name, _over(mine, lambda u: np.log2(1.0 + u.found.n_fillers), by_length=False))
    add("conditioning", None, _over(semantic, _rank, by_length=True))
    return lines


def by_changed_tokens(units: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """Share above 0.1 per class and number of differing tokens: longer values reach further by themselves."""
    lines = []
    for name in CLASSES:
        for low, high in ((1, 1), (2, 3), (4, None)):
            mine = [
                unit
                for unit in units
                if unit.found.field_class == name and low <= unit.n_changed <= (high or unit.n_changed)
            ]
            if mine:
                found = mean_score(mine, "share_0.1", options)
                lines.append(line(found, field_class=name, start=low, end=high))
    return lines


def like_for_like(units: Sequence[Unit], options: Options) -> list[dict[str, Any]]:
    """The ``conditioning`` trend over flips of a single token: of class high semantic ones, of others either.

    Values of low fields are long under most tokenizers, so that class and number of changed tokens go
    together in the plain trend.
    """
    single = [
        unit
        for unit in units
        if unit.n_changed == 1 and (unit.found.field_class != "high" or unit.found.flip == "semantic")
    ]
    points = _over(single, _rank, by_length=True)
    slopes = [(family, slope(x, y)) for family, x, y in points if len(set(x)) > 1]
    if not slopes:
        return []
    found = mean([s for _, s in slopes], [family for family, _ in slopes], **options)
    return [line(found, trend="conditioning_one_token", field_class=None)]


def _rank(unit: Unit) -> float:
    return float(CLASSES.index(unit.found.field_class))


def _over(units: Sequence[Unit], x: Any, *, by_length: bool) -> list[tuple[str, list[float], list[float]]]:
    """Per instance (and length) the family, ``x`` and the share above 0.1 of its units."""
    groups: dict[tuple[str, int], list[Unit]] = {}
    for unit in units:
        key = unit.found.case.instance, unit.found.n_fillers if by_length else 0
        groups.setdefault(key, []).append(unit)
    return [
        (mine[0].family, [float(x(u)) for u in mine], [u.scores["share_0.1"] for u in mine])
        for mine in groups.values()
    ]
