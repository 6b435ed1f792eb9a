"""Pairs: what is decided on them, cache states, and the read heads, as in the experiment on circuits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.confirm.about import About
from experiments.confirm.items import Laid
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.heads import Head, head_sweep, joint_heads, random_heads_like
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.measure.ranking import pooled_effect, rank_heads
from pkv_interp.run.stage import stacked
from pkv_interp.tasks import Case

#: Arms of the read heads.
TOP, RANDOM = "read_heads_top12", "read_heads_random12"


@dataclass(frozen=True)
class RankedHeads:
    """A discovery pair with each head patched at the decision token; margins in logits."""

    clean: float
    corrupt: float
    heads: Float[np.ndarray, "layers heads"]


@dataclass(frozen=True)
class ReadHeads:
    """What discovery families chose.

    Attributes:
        top: the heads, best first.
        random: sets of as many others in their layers; none where there are too few others.
    """

    top: list[Head]
    random: list[list[Head]]


@dataclass(frozen=True)
class PairScores:
    """A pair that is scored; margins in logits.

    Attributes:
        clean, corrupt: of the two prompts.
        arms: of the corrupt prompt, by what is put into it: ``field_only``, ``notes_only``, ``full_patch``
            and ``self_patch``; of polarity pairs the read heads as well, random ones as the mean over sets.
    """

    about: About
    decisions: list[Decision]
    clean: float
    corrupt: float
    arms: dict[str, float]


def about(one: Laid) -> About:
    """What a pair's results are about."""
    case = one.case
    return About(case.family, case.instance, case.wording, str(one.layout))


def sweep_heads(engine: Engine, case: Case) -> RankedHeads:
    """Every head of a discovery pair."""
    pair = run_pair(engine, case, ())
    return RankedHeads(pair.clean_margin, pair.corrupt_margin, head_sweep(engine, pair))


def choose_heads(found: Sequence[RankedHeads], number: int, sets: int, rng: np.random.Generator) -> ReadHeads:
    """The first heads by their effect on discovery families, and random sets beside them.

    Args:
        found: on discovery pairs.
        number: of heads.
        sets: of random heads.
        rng: draws them.
    """
    clean, corrupt = stacked(found, lambda one: one.clean), stacked(found, lambda one: one.corrupt)
    heads = stacked(found, lambda one: one.heads)
    top = rank_heads(pooled_effect(heads, corrupt, clean))[:number]
    drawn = [random_heads_like(top, heads.shape[2], rng) for _ in range(sets)]
    return ReadHeads(top, drawn if len(drawn[0]) == len(top) else [])


def score_pair(engine: Engine, one: Laid, chosen: ReadHeads | None = None) -> PairScores:
    """Cache states of a pair, and the read heads where there are some.

    Args:
        engine: of the model.
        one: the pair.
        chosen: heads that discovery families chose; None leaves them out.
    """
    pair = run_pair(engine, one.case, ())
    arms = cache_states(engine, pair)
    if chosen is not None:
        margins = joint_heads(engine, pair, [chosen.top, *chosen.random])
        arms[TOP] = float(margins[0])
        if chosen.random:
            arms[RANDOM] = float(margins[1:].mean())
    return PairScores(about(one), decisions(pair), pair.clean_margin, pair.corrupt_margin, arms)
