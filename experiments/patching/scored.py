"""On a scored instance: states, noise floor, sweeps, curves with their controls, knockouts, attention."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.patching.settings import PatchingSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.anchor_ranking import Ranking, order_by_anchor
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.knockout import attention_masses, knockout_margins, share_knockouts, span_knockouts
from pkv_interp.measure.matching import matched_share, random_positions_like
from pkv_interp.measure.pairs import PairRun, cache_states, run_pair
from pkv_interp.measure.patching import (
    joint_positions,
    patch_thirds,
    prefix,
    suffix,
    sweep_layers,
    sweep_positions,
    twin_margins,
)
from pkv_interp.streams import stream
from pkv_interp.tasks import Case
from pkv_interp.tasks.anchors import token_classes

#: Parts of the cache that are patched alone and together, by position and by layer.
PARTS = ("K", "V", "KV")


@dataclass(frozen=True)
class RandomSets:
    """Random sets of positions beside the best k.

    Attributes:
        margins: after patching each set.
        matched: mean share of a set that is of the strata of the best k, by size.
    """

    margins: Float[np.ndarray, "sizes draws"]
    matched: Float[np.ndarray, " sizes"]


@dataclass(frozen=True)
class Scored:
    """One scored instance; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        decisions: on the clean and on the corrupt prompt.
        states: margin by cache state (field_only, notes_only, full_patch, self_patch).
        twin: margin with a same-conclusion twin's KV, by where (field, notes, both); empty where the case has
            no twin.
        positions: after patching each position of the notes, by part of the cache.
        layers: after patching all notes in each layer, by part.
        thirds: after patching all notes in a third of the layers.
        cumulative: after patching the first 1, 2, ... positions of the ranking.
        suffix, prefix: after patching shares of the notes from their end, and from their start.
        random: sets that resemble the first k, by the strata that they are drawn from.
        hidden_clean, hidden_corrupt: margin of each prompt by the knockout that it is decided under.
        attention: mass of the clean prompt's decision by region, mean over heads.
    """

    clean: float
    corrupt: float
    decisions: tuple[Decision, Decision]
    states: dict[str, float]
    twin: dict[str, float]
    positions: dict[str, Float[np.ndarray, " notes"]]
    layers: dict[str, Float[np.ndarray, " layers"]]
    thirds: dict[str, float]
    cumulative: Float[np.ndarray, " notes"]
    suffix: Float[np.ndarray, " shares"]
    prefix: Float[np.ndarray, " shares"]
    random: dict[str, RandomSets]
    hidden_clean: dict[str, float]
    hidden_corrupt: dict[str, float]
    attention: dict[str, list[float]]


def score(
    engine: Engine, case: Case, twin: Case | None, ranking: Ranking, settings: PatchingSettings
) -> Scored:
    """Measure one scored instance.

    Args:
        engine: of the model.
        case: to score.
        twin: another record with the same stale value, aligned with it; None where there is none.
        ranking: from other instances.
        settings: sizes.
    """
    pair = run_pair(engine, case, {"attention"})
    first, second = decisions(pair)
    order = order_by_anchor(ranking.effect, case, pair.notes)
    hidden = _hide(engine, pair, order, ranking, settings)
    return Scored(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        decisions=(first, second),
        states=cache_states(engine, pair),
        twin={} if twin is None else twin_margins(engine, pair, engine.prefill(twin.corrupt.ids)),
        positions={part: sweep_positions(engine, pair, part) for part in PARTS},
        layers={part: sweep_layers(engine, pair, part) for part in PARTS},
        thirds=patch_thirds(engine, pair),
        cumulative=joint_positions(engine, pair, [order[: k + 1] for k in range(len(order))]),
        suffix=joint_positions(engine, pair, [suffix(pair.notes, s) for s in settings.shares]),
        prefix=joint_positions(engine, pair, [prefix(pair.notes, s) for s in settings.shares]),
        random=_random_sets(engine, pair, order, settings),
        hidden_clean=hidden["clean"],
        hidden_corrupt=hidden["corrupt"],
        attention=attention_masses(pair),
    )


def _random_sets(
    engine: Engine, pair: PairRun, order: Sequence[int], settings: PatchingSettings
) -> dict[str, RandomSets]:
    """Sets that resemble the first k positions by region, or by the kind of their tokens."""
    rng = stream(settings.seed, "patching", "random sets", pair.case.instance)
    prompt, notes = pair.case.clean, pair.notes
    classes = token_classes(prompt.tokens)
    strata = {"region": [prompt.kinds[p] for p in notes], "token_kind": [classes[p] for p in notes]}
    tops = [order[:k] for k in settings.sizes]
    found = {}
    for name, labels in strata.items():
        sets = [
            [random_positions_like(top, notes, labels, rng) for _ in range(settings.random_draws)]
            for top in tops
        ]
        values = joint_positions(engine, pair, [s for draws in sets for s in draws])
        matched = [
            float(np.mean([matched_share(top, s, notes, labels) for s in draws]))
            for top, draws in zip(tops, sets, strict=True)
        ]
        found[name] = RandomSets(values.reshape(len(tops), settings.random_draws), np.array(matched))
    return found


def _hide(
    engine: Engine, pair: PairRun, order: Sequence[int], ranking: Ranking, settings: PatchingSettings
) -> dict[str, dict[str, float]]:
    """Margins by prompt under knockouts of spans, and of growing shares of the notes."""
    rng = stream(settings.seed, "patching", "knockout orders", pair.case.instance)
    orders: dict[str, Sequence[int]] = {
        "effect": order,
        "attention": order_by_anchor(ranking.attention, pair.case, pair.notes),
    }
    for draw in range(settings.knockout_draws):
        orders[f"random{draw}"] = [int(p) for p in rng.permutation(pair.notes)]
    # Hiding all notes also hides the question, so it says little of notes: paths are closed instead.
    spans = {
        name: knockout
        for name, knockout in span_knockouts(engine, pair).items()
        if knockout.layers is not None or not set(pair.notes) <= set(knockout.positions)
    }
    shares = share_knockouts(orders, settings.knockout_shares)
    return knockout_margins(engine, pair, spans | shares)
