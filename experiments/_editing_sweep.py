"""How many tokens must be recomputed beside the field, and which? Rankings come from other instances."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from experiments._editing_cases import Chunk, Item, open_context, scored, wording_of
from experiments._patching_cases import anchors
from pkv_interp.cache import FrozenCache
from pkv_interp.editing import State
from pkv_interp.engine import Engine
from pkv_interp.measure.deviation import MEASURES, field_deviation
from pkv_interp.measure.distance import relative_l2
from pkv_interp.measure.knockout import attention_by_position
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.patching import order_by, sweep_positions
from pkv_interp.measure.ranking import pool_by_name
from pkv_interp.records import Run
from pkv_interp.tasks import Case, Family, Style, field_case
from pkv_interp.tasks.draws import stable_seed

if TYPE_CHECKING:
    from experiments.editing import EditingSettings
    from experiments.keystone import KeystoneSettings

#: Selectors that learn from other instances of the family, by anchor.
LEARNED = ("causal", "attribution", "attention", "deviation")
#: Selectors that look at the prompt itself; ``deviation_own`` needs the full new prefill, as an oracle would.
OWN = ("recency", "deviation_own")


def ranking_cases(
    settings: "EditingSettings | KeystoneSettings",
    family_at: int,
    family: Family,
    style: Style,
    tokenizer: object,
) -> list[Case]:
    """Field pairs of one family that rank positions and are not scored."""
    return [
        field_case(
            family, index, tokenizer, seed=settings.seed, style=style, wordings=wording_of(family_at, 0)
        )
        for index in range(settings.rank_instances)
    ]


def rank(engine: Engine, case: Case) -> Chunk:
    """Four scores of every position of the notes of one ranking instance."""
    pair = run_pair(engine, case, {"attention", "queries"})
    attributed = engine.attribute(pair.corrupt, pair.clean, case.action_ids)
    moved = field_deviation(engine, pair.clean, pair.corrupt, case.clean.spans["field"])
    notes = list(pair.notes)
    by_layer = (attributed.keys + attributed.values).double().cpu().numpy()
    return {
        "gap": pair.gap,
        "causal": sweep_positions(engine, pair) - pair.corrupt_margin,
        "attribution": by_layer.sum(0)[notes],
        "attention": attention_by_position(pair)[notes],
        "deviation": moved.most[MEASURES.index("v_cosine"), notes],
    }


def attend(engine: Engine, case: Case) -> Chunk:
    """The attention of the decision alone, for an experiment that ranks by nothing else."""
    pair = run_pair(engine, case, {"attention"})
    return {"gap": pair.gap, "attention": attention_by_position(pair)[list(pair.notes)]}


def learn(
    cases: Sequence[Case], found: Sequence[Chunk], selectors: Sequence[str] = LEARNED
) -> dict[str, dict[str, float]]:
    """By selector, the score of each anchor, pooled over the ranking instances of a family."""
    names = [anchors(case) for case in cases]
    gaps = [chunk["gap"] for chunk in found]
    even = [1.0] * len(found)
    return {
        selector: pool_by_name(
            names,
            [np.asarray(chunk[selector], float) for chunk in found],
            gaps if selector in ("causal", "attribution") else even,
        )
        for selector in selectors
    }


def attended(state: State, item: Item, case: Case, learned: Mapping[str, Mapping[str, float]]) -> list[int]:
    """Positions behind the field by the attention that their anchors had on other instances, most first.

    Args:
        case: the same prompt as a field pair, whose anchors name the positions.
    """
    notes = range(state.spans[item.task.field][1], len(state.ids))
    return order_by(learned["attention"], anchors(case)[: len(notes)], notes)


def aligned(state: State, item: Item, case: Case) -> bool:
    """Whether the state's tokens are those of the pair that names its positions."""
    return state.ids == (case.corrupt if item.task.matches else case.clean).ids[: len(state.ids)]


def positions_agree(run: Run, found: Sequence[Chunk]) -> None:
    """Control: every ranking speaks of the positions that it names."""
    run.control(
        "positions_agree",
        float(np.mean([chunk["aligned"] for chunk in found])),
        1.0,
        0.0,
        "share of contexts whose tokens are those of the pair that names their positions",
    )


def sweep(
    engine: Engine,
    item: Item,
    case: Case,
    learned: Mapping[str, Mapping[str, float]],
    settings: "EditingSettings",
) -> Chunk:
    """Recompute the field and the first K positions of each order; decide after every K.

    Args:
        case: the same prompt as a field pair, whose anchors name the positions.
    """
    context, task = open_context(engine.loaded, item), item.task
    base = context.prefill()
    full_state = context.edit(task.field, task.new, "full_reprefill")
    full = full_state.decide(item.actions)
    notes = range(base.spans[task.field][1], len(base.ids))
    # The question runs when the decision is read and is never stale.
    names = anchors(case)[: len(notes)]
    orders: dict[str, list[int]] = {name: order_by(learned[name], names, notes) for name in LEARNED}
    orders["recency"] = list(reversed(notes))
    orders["deviation_own"] = _by_deviation(base.cache, full_state.cache, notes)
    rng = np.random.default_rng([settings.seed, 31, stable_seed(task.instance)])
    for draw in range(settings.random_draws):
        orders[f"random{draw}"] = [int(p) for p in rng.permutation(notes)]
    found: Chunk = {
        "stale": scored(base.decide(item.actions), item.actions, full),
        "full": scored(full, item.actions),
        "notes": len(notes),
    }
    for name, order in orders.items():
        for method in ("recompute", "oracle_patch") if name == "causal" else ("recompute",):
            found[name if method == "recompute" else "oracle_patch"] = [
                scored(
                    context.edit(
                        task.field, task.new, f"{method}@{min(k, len(notes))}", ranking=order
                    ).decide(item.actions),
                    item.actions,
                    full,
                )
                for k in settings.top_k
            ]
    return found


def _by_deviation(stale: FrozenCache, fresh: FrozenCache, notes: range) -> list[int]:
    """Positions by how far their values move, largest over layers first."""
    moved = np.max(
        [
            relative_l2(new[0].transpose(0, 1).flatten(1), old[0].transpose(0, 1).flatten(1)).cpu().numpy()
            for new, old in zip(fresh.values, stale.values, strict=True)
        ],
        axis=0,
    )
    return [int(p) for p in sorted(notes, key=lambda p: (-moved[p], p))]
