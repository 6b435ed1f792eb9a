"""Which positions after a field must be recomputed? Scores of positions, learned on other instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float

from pkv_interp.editing import State
from pkv_interp.engine import Engine
from pkv_interp.measure.anchor_ranking import order_by_anchor, pool_by_anchor
from pkv_interp.measure.deviation import MEASURES, field_deviation
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.measure.knockout import attention_by_position
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.patching import sweep_positions
from pkv_interp.tasks import Case

T = TypeVar("T")
#: Selectors that learn from other instances of the family, by anchor.
LEARNED = ("causal", "attribution", "attention", "deviation")
#: Detail of the control that holds where every context is `aligned`.
ALIGNED = "share of contexts whose tokens are those of the pair that names their positions"


@dataclass(frozen=True)
class PositionScores:
    """Four scores of each position of the notes of one ranking instance, and one of each head.

    Attributes:
        gap: clean minus corrupt margin, in logits.
        causal: what patching the position moves, in logits.
        attribution: first-order estimate of the same.
        attention: of the decision.
        deviation: largest cosine distance of its values over layers.
        heads: first-order effect of each head at the decision token.
    """

    gap: float
    causal: Float[np.ndarray, " notes"]
    attribution: Float[np.ndarray, " notes"]
    attention: Float[np.ndarray, " notes"]
    deviation: Float[np.ndarray, " notes"]
    heads: Float[np.ndarray, "layers heads"]


@dataclass(frozen=True)
class AttentionScores:
    """The attention of the decision to each position of the notes of one ranking instance."""

    attention: Float[np.ndarray, " notes"]


def score_positions(engine: Engine, case: Case) -> PositionScores:
    """Score every position of the notes of one ranking instance."""
    pair = run_pair(engine, case, {"attention", "queries"})
    attributed = engine.attribute(pair.corrupt, pair.clean, case.action_ids)
    moved = field_deviation(engine, pair.clean, pair.corrupt, case.clean.spans["field"])
    notes = list(pair.notes)
    by_layer = (attributed.keys + attributed.values).double().cpu().numpy()
    return PositionScores(
        gap=pair.gap,
        causal=sweep_positions(engine, pair) - pair.corrupt_margin,
        attribution=by_layer.sum(0)[notes],
        attention=attention_by_position(pair)[notes],
        deviation=moved.most[MEASURES.index("v_cosine"), notes],
        heads=attributed.heads.double().cpu().numpy(),
    )


def score_attention(engine: Engine, case: Case) -> AttentionScores:
    """The attention of the decision alone, for an experiment that ranks by nothing else."""
    pair = run_pair(engine, case, {"attention"})
    return AttentionScores(attention_by_position(pair)[list(pair.notes)])


def learn_scores(
    cases: Sequence[Case], found: Sequence[PositionScores]
) -> dict[str, dict[str, dict[str, float]]]:
    """By family and selector (`LEARNED`), the score of each anchor, pooled over the family's instances.

    Args:
        cases: ranking instances of any families.
        found: the scores of each.
    """
    return {family: _pooled(own, mine) for family, (own, mine) in _by_family(cases, found).items()}


def _pooled(cases: Sequence[Case], found: Sequence[PositionScores]) -> dict[str, dict[str, float]]:
    gaps, even = [one.gap for one in found], [1.0] * len(found)
    weights = {"causal": gaps, "attribution": gaps, "attention": even, "deviation": even}
    return {
        selector: pool_by_anchor(cases, [getattr(one, selector) for one in found], weights[selector])
        for selector in LEARNED
    }


def learn_attention(cases: Sequence[Case], found: Sequence[AttentionScores]) -> dict[str, dict[str, float]]:
    """By family, the mean attention to each anchor over the family's instances.

    Args:
        cases: ranking instances of any families.
        found: the scores of each.
    """
    return {
        family: pool_by_anchor(own, [one.attention for one in mine], [1.0] * len(mine))
        for family, (own, mine) in _by_family(cases, found).items()
    }


def _by_family(cases: Sequence[Case], found: Sequence[T]) -> dict[str, tuple[list[Case], list[T]]]:
    out: dict[str, tuple[list[Case], list[T]]] = {}
    for case, one in zip(cases, found, strict=True):
        own, mine = out.setdefault(case.family, ([], []))
        own.append(case)
        mine.append(one)
    return out


def notes_of(state: State, scene: EditScene) -> range:
    """Positions of the context after the scene's field. The question runs at the decision: never stale."""
    return range(state.spans[scene.task.field][1], len(state.ids))


def most_attended(state: State, scene: EditScene, case: Case, attention: Mapping[str, float]) -> list[int]:
    """Positions after the field by the attention that their anchors had on other instances, most first.

    Args:
        state: the scene's context.
        scene: names the field.
        case: the same prompt as a field pair, whose anchors name the positions.
        attention: by anchor.
    """
    return order_by_anchor(attention, case, notes_of(state, scene))


def aligned(state: State, scene: EditScene, case: Case) -> bool:
    """Whether the state's tokens are those of the pair that names its positions."""
    return state.ids == (case.corrupt if scene.task.matches else case.clean).ids[: len(state.ids)]
