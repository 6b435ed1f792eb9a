"""What the patching experiment measures on one instance; each returns a chunk."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments._patching_cases import Item, anchors, style_of
from pkv_interp.engine import Engine
from pkv_interp.measure.chains import run_chains
from pkv_interp.measure.competence import decisions
from pkv_interp.measure.knockout import (
    attention_by_position,
    attention_masses,
    knockout_margins,
    share_knockouts,
    span_knockouts,
)
from pkv_interp.measure.matching import matched_share, random_positions_like
from pkv_interp.measure.pairs import PairRun, cache_states, run_pair
from pkv_interp.measure.patching import (
    joint_positions,
    order_by,
    patch_thirds,
    prefix,
    suffix,
    sweep_grid,
    sweep_layers,
    sweep_positions,
    twin_margins,
)
from pkv_interp.measure.ranking import pool_by_name
from pkv_interp.measure.timing import seconds
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.draws import stable_seed

if TYPE_CHECKING:
    from experiments.patching import PatchingSettings

Chunk = dict[str, Any]
#: Close the chain and open the answer, after a reason in plain text and after a thinking block.
SCAFFOLD, THINK_SCAFFOLD = "\nAction:", "\n</think>\n\nAction:"


@dataclass(frozen=True)
class Ranking:
    """By anchor, from the ranking instances of one family: pooled single-position effect, and attention."""

    effect: dict[str, float]
    attention: dict[str, float]


def rank_sites(engine: Engine, case: Case) -> Chunk:
    """On a ranking instance: the effect of every single position, and where the decision looks."""
    pair = run_pair(engine, case, {"attention"})
    return {
        "clean": pair.clean_margin,
        "corrupt": pair.corrupt_margin,
        "decisions": [asdict(d) for d in decisions(pair)],
        "positions": sweep_positions(engine, pair),
        "attention": attention_by_position(pair)[list(pair.notes)],
    }


def make_rankings(cases: Sequence[Case], found: Sequence[Chunk]) -> dict[str, Ranking]:
    """Pool the ranking instances of each family by anchor."""
    rankings = {}
    for family in dict.fromkeys(c.family for c in cases):
        mine = [(c, f) for c, f in zip(cases, found, strict=True) if c.family == family]
        names = [anchors(c) for c, _ in mine]
        moved = [np.asarray(f["positions"]) - f["corrupt"] for _, f in mine]
        effect = pool_by_name(names, moved, [f["clean"] - f["corrupt"] for _, f in mine])
        attention = pool_by_name(names, [np.asarray(f["attention"]) for _, f in mine], [1.0] * len(mine))
        rankings[family] = Ranking(effect, attention)
    return rankings


def score(engine: Engine, item: Item, ranking: Ranking, settings: "PatchingSettings") -> Chunk:
    """On a scored instance: states, floor, sweeps, curves with their controls, knockouts, attention."""
    pair = run_pair(engine, item.case, {"attention"})
    twin = engine.prefill(item.twin.corrupt.ids)
    order = order_by(ranking.effect, anchors(item.case), pair.notes)
    return {
        "clean": pair.clean_margin,
        "corrupt": pair.corrupt_margin,
        "decisions": [asdict(d) for d in decisions(pair)],
        "states": cache_states(engine, pair),
        "twin": twin_margins(engine, pair, twin),
        "positions": {part: sweep_positions(engine, pair, part) for part in ("K", "V", "KV")},
        "layers": {part: sweep_layers(engine, pair, part) for part in ("K", "V", "KV")},
        "thirds": patch_thirds(engine, pair),
        "cumulative": joint_positions(engine, pair, [order[: k + 1] for k in range(len(order))]),
        "suffix": joint_positions(engine, pair, [suffix(pair.notes, s) for s in settings.shares]),
        "prefix": joint_positions(engine, pair, [prefix(pair.notes, s) for s in settings.shares]),
        "known_anchors": sum(a in ranking.effect for a in anchors(item.case)) / len(pair.notes),
        **random_sets(engine, pair, order, settings),
        **hide(engine, pair, order, ranking, settings),
    }


def random_sets(engine: Engine, pair: PairRun, order: Sequence[int], settings: "PatchingSettings") -> Chunk:
    """Margins of random sets that resemble the first k positions by region or by the kind of their tokens."""
    rng = np.random.default_rng([settings.seed, 21, stable_seed(pair.case.instance)])
    prompt, notes = pair.case.clean, pair.notes
    strata = {
        "region": [prompt.kinds[p] for p in notes],
        "token_kind": [token_classes(prompt.tokens)[p] for p in notes],
    }
    out: Chunk = {}
    for name, labels in strata.items():
        tops = [order[:k] for k in settings.sizes]
        sets = [
            [random_positions_like(top, notes, labels, rng) for _ in range(settings.random_draws)]
            for top in tops
        ]
        values = joint_positions(engine, pair, [s for draws in sets for s in draws])
        out[f"random_{name}"] = values.reshape(len(tops), settings.random_draws)
        out[f"matched_{name}"] = [
            float(np.mean([matched_share(top, s, notes, labels) for s in draws]))
            for top, draws in zip(tops, sets, strict=True)
        ]
    return out


def hide(
    engine: Engine, pair: PairRun, order: Sequence[int], ranking: Ranking, settings: "PatchingSettings"
) -> Chunk:
    """Knockouts of spans and of growing shares of the notes, and the attention that they take away."""
    rng = np.random.default_rng([settings.seed, 22, stable_seed(pair.case.instance)])
    orders: dict[str, Sequence[int]] = {
        "effect": order,
        "attention": order_by(ranking.attention, anchors(pair.case), pair.notes),
    }
    for draw in range(settings.knockout_draws):
        orders[f"random{draw}"] = [int(p) for p in rng.permutation(pair.notes)]
    knockouts = span_knockouts(engine, pair) | share_knockouts(orders, settings.knockout_shares)
    return {"knockouts": knockout_margins(engine, pair, knockouts), "attention": attention_masses(pair)}


def grid(engine: Engine, case: Case, settings: "PatchingSettings") -> Chunk:
    """Every (layer, position) cell of one scored instance, with the time it took."""
    pair = run_pair(engine, case, ())
    out: Chunk = {"clean": pair.clean_margin, "corrupt": pair.corrupt_margin, "tokens": len(case.clean)}
    for part in settings.grid_parts:
        took, out[part] = seconds(lambda part=part: sweep_grid(engine, pair, part), engine.loaded.device)
        out[f"seconds_{part}"] = took
    return out


def doses(engine: Engine, item: Item, settings: "PatchingSettings") -> Chunk:
    """Cache states of one scored instance as fillers and statements of the rule grow."""
    styles = {f"fillers={n}": style_of(settings, n_fillers=n) for n in settings.fillers}
    styles |= {f"rules={n}": style_of(settings, n_rules=n) for n in settings.rules}
    out: Chunk = {}
    for name, style in styles.items():
        pair = run_pair(engine, item.build(style), ())
        states = cache_states(engine, pair)
        out[name] = {
            "clean": pair.clean_margin,
            "corrupt": pair.corrupt_margin,
            "tokens": pair.clean.length,
            **states,
        }
    return out


def think(engine: Engine, case: Case, settings: "PatchingSettings") -> Chunk:
    """Greedy chains of thought of one scored instance, from each cache state."""
    scaffold = SCAFFOLD if settings.model.thinking is None else THINK_SCAFFOLD
    ids = engine.loaded.tokenizer(scaffold, add_special_tokens=False)["input_ids"]
    chains = run_chains(engine, run_pair(engine, case, ()), ids, settings.cot_tokens)
    return {chain.state: asdict(chain) for chain in chains}
