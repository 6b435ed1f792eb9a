"""Read heads of two models, and how many of them are the same."""

from collections.abc import Sequence

import numpy as np

from experiments.programmable.mechanism import HeadMargins
from pkv_interp.measure.heads import Head
from pkv_interp.measure.ranking import pooled_effect, rank_heads
from pkv_interp.run.scoring import Resampling
from pkv_interp.stats import Estimate


def overlap(
    one: Sequence[HeadMargins], other: Sequence[HeadMargins], number: int, how: Resampling
) -> Estimate:
    """Jaccard index of the first heads of two rankings on the same pairs.

    The interval is how far the index moves when families are drawn again, for both rankings the same ones.

    Args:
        one: pairs of a model.
        other: the same pairs of another model.
        number: of heads that count.
        how: intervals are drawn.
    """
    families = list(dict.fromkeys(pair.family for pair in one))
    places = {name: [at for at, pair in enumerate(one) if pair.family == name] for name in families}
    value = _jaccard(_first(one, number), _first(other, number))
    low = high = None
    if len(families) > 1:
        rng = np.random.default_rng(how["seed"])
        drawn = []
        for _ in range(how["draws"]):
            chosen = [at for name in rng.choice(families, len(families)) for at in places[str(name)]]
            drawn.append(_jaccard(*(_first([mine[at] for at in chosen], number) for mine in (one, other))))
        low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
    return Estimate(value=value, ci_low=low, ci_high=high, n_families=len(families), n_instances=len(one))


def _first(pairs: Sequence[HeadMargins], number: int) -> set[Head]:
    effect = pooled_effect(
        np.stack([pair.heads for pair in pairs]),
        np.array([pair.corrupt for pair in pairs]),
        np.array([pair.clean for pair in pairs]),
    )
    return set(rank_heads(effect)[:number])


def _jaccard(one: set[Head], other: set[Head]) -> float:
    return len(one & other) / len(one | other)
