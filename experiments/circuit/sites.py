"""Every site on its own, and what discovery families choose of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.circuit.settings import CircuitSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.heads import Head, attention_to, head_sweep, mlp_sweep, random_heads_like
from pkv_interp.measure.pairs import cache_states, position_sweep, run_pair
from pkv_interp.measure.ranking import pooled_effect, rank_heads, rank_labels
from pkv_interp.measure.screening import screen
from pkv_interp.run.stage import Stage, stacked
from pkv_interp.tasks import Case
from pkv_interp.tasks.sites import positions_of, site_labels


@dataclass(frozen=True)
class Sites:
    """One case with every site patched on its own; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        states: margin by cache state (trigger_only, notes_only, full_patch, self_patch).
        decisions: on the clean and on the corrupt prompt.
        positions: after patching each position of the notes.
        heads, mlps: after patching each at the decision token.
        attention_field: attention mass from the decision to the field (in pairs: to the changed span), in
            the clean prompt.
        screen_kv, screen_heads, screen_mlps: first-order effects of the same sites.
    """

    clean: float
    corrupt: float
    states: dict[str, float]
    decisions: tuple[Decision, Decision]
    positions: Float[np.ndarray, " notes"]
    heads: Float[np.ndarray, "layers heads"]
    mlps: Float[np.ndarray, " layers"]
    attention_field: Float[np.ndarray, "layers heads"]
    screen_kv: Float[np.ndarray, " notes"]
    screen_heads: Float[np.ndarray, "layers heads"]
    screen_mlps: Float[np.ndarray, " layers"]


@dataclass(frozen=True)
class SitesAndOutputs:
    """What one case gives: its sites, and head outputs that later stages need and no summary reads.

    Attributes:
        outputs: of heads at the decision token, mean over both prompts.
    """

    sites: Sites
    outputs: Float[np.ndarray, "layers heads d_head"]


@dataclass(frozen=True)
class ChosenSites:
    """What discovery families chose; held-out families are scored with it.

    Attributes:
        readers: all heads, best first.
        labels: of the aggregators, best first.
        random_readers: [size][draw] sets of heads, in the layers of the best ones.
    """

    readers: list[Head]
    labels: list[str]
    random_readers: list[list[list[Head]]]


def measure_sites(engine: Engine, case: Case) -> SitesAndOutputs:
    """Cache states, positions, heads and MLPs at the decision, and the cheap screen of the same sites."""
    pair = run_pair(engine, case, {"attention"})  # nothing here reads activations of the prefill
    cheap = screen(engine, pair)
    first, second = decisions(pair)
    sites = Sites(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        states=cache_states(engine, pair),
        decisions=(first, second),
        positions=position_sweep(engine, pair),
        heads=head_sweep(engine, pair),
        mlps=mlp_sweep(engine, pair),
        attention_field=attention_to(pair, range(*case.clean.spans.get("field", case.change))),
        screen_kv=cheap.kv,
        screen_heads=cheap.heads,
        screen_mlps=cheap.mlps,
    )
    return SitesAndOutputs(sites, ((pair.clean.z + pair.corrupt.z) / 2).float().cpu().numpy())


def choose_sites(
    settings: CircuitSettings, cases: Sequence[Case], sites: Stage[Sites], rng: np.random.Generator
) -> ChosenSites:
    """Rank position labels and heads on discovery cases; draw the random controls once, for all cases."""
    found = sites.of(cases)
    clean, corrupt = stacked(found, lambda s: s.clean), stacked(found, lambda s: s.corrupt)
    heads = stacked(found, lambda s: s.heads)
    readers = rank_heads(pooled_effect(heads, corrupt, clean))
    moved = [site.positions - site.corrupt for site in found]
    ranked = rank_labels([note_labels(case) for case in cases], moved, list(clean - corrupt))
    draws = [
        [random_heads_like(readers[:k], heads.shape[2], rng) for _ in range(settings.random_draws)]
        for k in settings.sizes
    ]
    return ChosenSites(readers, [name for name, _ in ranked[: settings.n_aggregators]], draws)


def note_labels(case: Case) -> tuple[str, ...]:
    """Labels of a case's notes, in order."""
    return tuple(site_labels(case.clean)[case.after_change : case.clean.decision])


def aggregators(case: Case, plan: ChosenSites) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Positions of the top aggregator and of all aggregators in a case's notes."""
    every = positions_of(case.clean, set(plan.labels), case.after_change)
    for label in plan.labels:
        if top := positions_of(case.clean, {label}, case.after_change):
            return top, every
    return every, every
