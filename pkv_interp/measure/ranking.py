"""Rankings of sites over instances: pooled effects over pooled gaps, so that no single ratio can dominate."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from pkv_interp.finite import finite
from pkv_interp.measure.heads import Head, top_heads


def pooled_effect(
    patched: Float[np.ndarray, "cases ..."],
    corrupt: Float[np.ndarray, " cases"],
    clean: Float[np.ndarray, " cases"],
) -> Float[np.ndarray, "..."]:
    """Recovery of each site as a ratio of means: sum of (patched - corrupt) over sum of the gaps.

    Args:
        patched: margins of every case and site.
        corrupt: margin of every case.
        clean: margin of every case.
    """
    patched = np.asarray(patched, float)
    shape = (-1,) + (1,) * (patched.ndim - 1)
    moved = patched - np.asarray(corrupt, float).reshape(shape)
    gap = float(np.asarray(clean, float).sum() - np.asarray(corrupt, float).sum())
    # Half precision can leave a model that cannot tell the prompts apart with no gap at all: an order needs
    # no unit, and no recovery of such a model is stated.
    return finite(moved.sum(0) / (gap or 1.0), "the effects to rank")


def _ratios(total: Mapping[str, float], weight: Mapping[str, float]) -> dict[str, float]:
    """Totals over weights, of names that have a weight; the totals themselves where none has any."""
    weighed = {name: total[name] / weight[name] for name in total if weight[name] != 0}
    return weighed or dict(total)


def rank_heads(effect: Float[np.ndarray, "L H"]) -> list[Head]:
    """All heads, largest effect first."""
    return top_heads(effect, effect.size)


def rank_labels(
    labels: Sequence[Sequence[str]], effects: Sequence[Float[np.ndarray, " notes"]], gaps: Sequence[float]
) -> list[tuple[str, float]]:
    """Position labels by their mean single-position recovery, best first.

    Args:
        labels: per case, one label per note position.
        effects: per case, patched minus corrupt margin of each note position.
        gaps: per case, clean minus corrupt margin.

    A label counts when at least half of the cases have it; a case's value is its mean over the label's
    positions.
    """
    moved: dict[str, float] = {}
    base: dict[str, float] = {}
    seen: dict[str, int] = {}
    for names, values, gap in zip(labels, effects, gaps, strict=True):
        for name in sorted(set(names)):
            at = [i for i, other in enumerate(names) if other == name]
            moved[name] = moved.get(name, 0.0) + float(np.mean([values[i] for i in at]))
            base[name] = base.get(name, 0.0) + gap
            seen[name] = seen.get(name, 0) + 1
    often = {name: moved[name] for name in moved if 2 * seen[name] >= len(gaps)}
    return sorted(_ratios(often, base).items(), key=lambda item: (-item[1], item[0]))


def pool_by_name(
    names: Sequence[Sequence[str]], values: Sequence[Float[np.ndarray, " notes"]], weights: Sequence[float]
) -> dict[str, float]:
    """Per name, the sum of its values over the instances that have it, over the sum of their weights.

    Args:
        names: per instance, one name per position, unique within the instance.
        values: per instance, for example patched minus corrupt margins.
        weights: per instance, for example clean minus corrupt margins; 1 each gives the mean.
    """
    total: dict[str, float] = {}
    weight: dict[str, float] = {}
    for mine, found, share in zip(names, values, weights, strict=True):
        for name, value in zip(mine, found, strict=True):
            total[name] = total.get(name, 0.0) + float(value)
            weight[name] = weight.get(name, 0.0) + share
    return _ratios(total, weight)
