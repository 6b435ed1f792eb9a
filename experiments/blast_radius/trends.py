"""How deviation grows with distance, depth, length and conditioning strength."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from experiments.blast_radius.flips import OUTPUT, ScoredFlip, grouped, mean_score
from experiments.blast_radius.tables import ByChangedTokens, ByDepth, ByDistance, Trend
from pkv_interp.measure.deviation import MEASURES
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import mean
from pkv_interp.stats.slopes import slope
from pkv_interp.tasks.field_classes import CLASSES

#: Distances from the field's end, in tokens, at which bins start.
BINS = (1, 9, 17, 33, 65, 129, 257, 513)


def _profile(
    flip: ScoredFlip, fillers_only: bool
) -> tuple[Float[np.ndarray, " kept"], Float[np.ndarray, " kept"]]:
    """Distance in tokens and output deviation (largest over layers) of the tokens after the field."""
    kept = flip.kinds == "filler" if fillers_only else np.ones(flip.kinds.size, bool)
    return 1.0 + np.flatnonzero(kept), flip.output[kept]


def by_distance(semantic: Sequence[ScoredFlip], resampling: Resampling) -> list[ByDistance]:
    """Mean output deviation per class and bin of distance; all tokens, and words of fillers alone."""
    lines = []
    for (name,), mine in grouped(semantic, "field_class"):
        for tokens in ("all", "filler"):
            profiles = [(flip.family, *_profile(flip, tokens == "filler")) for flip in mine]
            for low, stop in zip(BINS, (*BINS[1:], np.inf), strict=True):
                inside = [(family, y[(x >= low) & (x < stop)]) for family, x, y in profiles]
                kept = [(family, float(y.mean())) for family, y in inside if y.size]
                if kept:
                    found = mean([y for _, y in kept], [family for family, _ in kept], **resampling)
                    end = None if np.isinf(stop) else int(stop) - 1
                    lines.append(ByDistance.of(found, field_class=name, tokens=tokens, start=low, end=end))
    return lines


def by_depth(semantic: Sequence[ScoredFlip], resampling: Resampling) -> list[ByDepth]:
    """Mean deviation of the tokens after the field, per class, measure and layer."""
    lines = []
    for (name,), mine in grouped(semantic, "field_class"):
        families, depth = [flip.family for flip in mine], np.stack([flip.depth for flip in mine])
        lines += [
            ByDepth.of(
                mean(depth[:, i, layer], families, **resampling),
                field_class=name,
                measure=measure,
                layer=layer,
            )
            for i, measure in enumerate(MEASURES)
            for layer in range(depth.shape[2])
        ]
    return lines


def trends(semantic: Sequence[ScoredFlip], resampling: Resampling) -> list[Trend]:
    """Slopes, one per instance and then averaged, so that intervals are by family.

    ``distance``: output deviation per doubling of the distance, over all tokens; ``distance_fillers``: over
    words of fillers, whose content is alike everywhere. ``depth``: mean output deviation from first to last
    layer. ``fillers``: share above 0.1 per doubling of 1 + fillers. ``conditioning``: share above 0.1 per
    step of class (low 0, medium 1, high 2).
    """
    lines: list[Trend] = []
    for (name,), mine in grouped(semantic, "field_class"):
        for trend, only in (("distance", False), ("distance_fillers", True)):
            profiles = [(flip.family, *_profile(flip, only)) for flip in mine]
            lines += _trend(trend, name, [(family, np.log2(x), y) for family, x, y in profiles], resampling)
        depths = [(flip.family, flip.depth[OUTPUT]) for flip in mine]
        lines += _trend(
            "depth", name, [(family, np.linspace(0, 1, d.size), d) for family, d in depths], resampling
        )
        lengths = _over(mine, lambda flip: np.log2(1.0 + flip.flip.n_fillers), by_length=False)
        lines += _trend("fillers", name, lengths, resampling)
    return lines + _trend("conditioning", None, _over(semantic, _rank, by_length=True), resampling)


def _trend(
    trend: str, name: str | None, points: Sequence[tuple[str, Any, Any]], resampling: Resampling
) -> list[Trend]:
    """The mean slope over instances, given as (family, x, y); nothing where no instance's x varies."""
    slopes = [(family, slope(x, y)) for family, x, y in points if np.unique(np.asarray(x)).size > 1]
    if not slopes:
        return []
    found = mean([value for _, value in slopes], [family for family, _ in slopes], **resampling)
    return [Trend.of(found, trend=trend, field_class=name)]


def by_changed_tokens(flips: Sequence[ScoredFlip], resampling: Resampling) -> list[ByChangedTokens]:
    """Share above 0.1 per class and number of differing tokens: longer values reach further by themselves."""
    lines = []
    for name in CLASSES:
        for low, high in ((1, 1), (2, 3), (4, None)):
            mine = [
                flip
                for flip in flips
                if flip.flip.field_class == name and low <= flip.n_changed <= (high or flip.n_changed)
            ]
            if mine:
                found = mean_score(mine, "share_0.1", resampling)
                lines.append(ByChangedTokens.of(found, field_class=name, start=low, end=high))
    return lines


def like_for_like(flips: Sequence[ScoredFlip], resampling: Resampling) -> list[Trend]:
    """The ``conditioning`` trend over flips of a single token: of class high semantic ones, of others either.

    Values of low fields are long under most tokenizers, so that class and number of changed tokens go
    together in the plain trend.
    """
    single = [
        flip
        for flip in flips
        if flip.n_changed == 1 and (flip.flip.field_class != "high" or flip.flip.flip == "semantic")
    ]
    return _trend("conditioning_one_token", None, _over(single, _rank, by_length=True), resampling)


def _rank(flip: ScoredFlip) -> float:
    return float(CLASSES.index(flip.flip.field_class))


def _over(
    flips: Sequence[ScoredFlip], x: Callable[[ScoredFlip], float], *, by_length: bool
) -> list[tuple[str, list[float], list[float]]]:
    """Per instance (and length) the family, ``x`` and the share above 0.1 of its flips."""
    groups: dict[tuple[str, int], list[ScoredFlip]] = {}
    for flip in flips:
        key = flip.flip.case.instance, flip.flip.n_fillers if by_length else 0
        groups.setdefault(key, []).append(flip)
    return [
        (mine[0].family, [float(x(flip)) for flip in mine], [flip.scores["share_0.1"] for flip in mine])
        for mine in groups.values()
    ]
