"""How many tokens must be recomputed beside the field, and which? Rankings come from other instances."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from experiments.editing.settings import EditingSettings
from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.measure.anchor_ranking import order_by_anchor
from pkv_interp.measure.distance import relative_l2
from pkv_interp.measure.edit_decisions import ComparedDecision, EditDecision, compared, scored
from pkv_interp.measure.edit_ranking import LEARNED, notes_of
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.streams import stream

#: The learned selector of the headline, whose order ``oracle_patch`` takes as well.
CAUSAL = "causal"
PASTED, RANDOM = "oracle_patch", "random"


@dataclass(frozen=True)
class Sweep:
    """One edit, recomputed at the field and the first K positions of each order.

    Attributes:
        stale: the cache as it was.
        full: the full re-prefill.
        selectors: by selector the decision after each K; ``oracle_patch`` pastes what the others recompute.
        random: by draw, the same for a random order.
    """

    stale: ComparedDecision
    full: EditDecision
    selectors: dict[str, list[ComparedDecision]]
    random: list[list[ComparedDecision]]


def sweep_sizes(
    engine: Engine,
    scene: EditScene,
    source: SceneSource,
    learned: Mapping[str, Mapping[str, float]],
    settings: EditingSettings,
) -> Sweep:
    """Recompute the field and the first K positions of each order; decide after every K.

    Args:
        engine: of the model.
        scene: to edit.
        source: makes the field pair that names the scene's positions.
        learned: by selector and anchor, scores from other instances of the family.
        settings: sizes and random draws.
    """
    context, task = open_context(engine.loaded, scene), scene.task
    base = context.prefill()
    full_state = context.edit(task.field, task.new, "full_reprefill")
    full = full_state.decide(scene.actions)
    notes, case = notes_of(base, scene), source.matching_case(scene)
    orders = {name: order_by_anchor(learned[name], case, notes) for name in LEARNED}
    orders["recency"] = list(reversed(notes))
    # Needs the full new prefill, as an oracle would.
    orders["deviation_own"] = _by_deviation(base.cache, full_state.cache, notes)
    rng = stream(settings.seed, "editing", "random orders", task.instance)
    random = [[int(p) for p in rng.permutation(notes)] for _ in range(settings.random_draws)]

    def at_sizes(method: str, order: Sequence[int]) -> list[ComparedDecision]:
        sized = [f"{method}@{min(k, len(notes))}" for k in settings.top_k]
        states = (context.edit(task.field, task.new, one, ranking=order) for one in sized)
        return [compared(state.decide(scene.actions), scene.actions, full) for state in states]

    selectors: dict[str, list[ComparedDecision]] = {}
    for name, order in orders.items():
        selectors[name] = at_sizes("recompute", order)
        if name == CAUSAL:
            selectors[PASTED] = at_sizes(PASTED, order)
    return Sweep(
        stale=compared(base.decide(scene.actions), scene.actions, full),
        full=scored(full, scene.actions),
        selectors=selectors,
        random=[at_sizes("recompute", order) for order in random],
    )


def _by_deviation(stale: FrozenCache, fresh: FrozenCache, notes: range) -> list[int]:
    """Positions by how far their values move, largest over layers first."""
    moved = np.max(
        [
            relative_l2(_by_position(new), _by_position(old)).cpu().numpy()
            for new, old in zip(fresh.values, stale.values, strict=True)
        ],
        axis=0,
    )
    return [int(p) for p in sorted(notes, key=lambda p: (-moved[p], p))]


def _by_position(values: Float[Tensor, "1 kv_heads T d"]) -> Float[Tensor, "T kv_heads*d"]:
    return rearrange(values, "1 kv_heads position d -> position (kv_heads d)")
