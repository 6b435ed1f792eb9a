"""What the circuit experiment measures: sites, what discovery families choose, held-out scores, writers."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from experiments.circuit.cases import Cases, arrange, candidates
from experiments.circuit.reading import Reading, read
from experiments.circuit.settings import HEADLINE_K, CircuitSettings
from experiments.circuit.sites import ChosenSites, Sites, SitesAndOutputs, choose_sites, measure_sites
from experiments.circuit.writing import Sweep, Writing, score_writers, sweep_writers
from pkv_interp.measure.heads import Head, random_heads_like
from pkv_interp.measure.ranking import pooled_effect, rank_heads
from pkv_interp.run.screen import Candidates
from pkv_interp.run.screened import SCORED, Screened
from pkv_interp.run.stage import Stage, stacked

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Measured:
    """All that was measured, and what discovery families chose.

    Attributes:
        sites: of all cases.
        reading: of held-out cases.
        sweeps: of the discovery cases that writers are ranked on.
        writers: all heads by what they write at the aggregators, best first.
        writing: of the held-out cases that writers are scored on.
        screened: what the cases were chosen from; nothing where the first ones were taken.
    """

    cases: Cases
    sites: Stage[Sites]
    plan: ChosenSites
    reading: Stage[Reading]
    sweeps: Stage[Sweep]
    writers: list[Head]
    writing: Stage[Writing]
    screened: Screened = field(default_factory=Screened)


def measure(session: "Session[CircuitSettings]") -> Measured:
    """Measure every site, rank on discovery families, score on held-out ones."""
    settings = session.settings
    discovery, held_out = candidates(settings, session.tokenizer)
    per_family = settings.instances if settings.pairs is None else None
    kept = session.right_on_both(
        "screen",
        {"discovery": Candidates(discovery, per_family), SCORED: Candidates(held_out, per_family)},
        lambda case: (case,),
    )
    cases = arrange(settings, kept.items["discovery"], kept.items[SCORED])
    session.check_engine(cases.ends)
    engine = session.engine
    heads = session.spec.n_layers * session.spec.n_heads
    if settings.top_k[-1] > heads:
        session.run.remarks.append(f"top_k={settings.top_k[-1]}, and there are {heads} heads: all are taken")
    found = session.each("sites", cases.all, lambda case: measure_sites(engine, case), SitesAndOutputs)
    sites = found.map(lambda both: both.sites)
    plan = choose_sites(settings, cases.discovery, sites, session.rng("read heads"))
    outputs = torch.stack([torch.from_numpy(f.outputs) for f in found.of(cases.discovery)]).mean(0)
    reading = session.each(
        "reading", cases.held_out, lambda case: read(engine, case, plan, outputs, settings), Reading
    )
    sweeps = session.each("write sweep", cases.sweep, lambda case: sweep_writers(engine, case, plan), Sweep)
    swept = sites.of(cases.sweep)
    effect = pooled_effect(
        stacked(sweeps.all(), lambda s: s.joint[:, :-1]),
        stacked(swept, lambda s: s.corrupt),
        stacked(swept, lambda s: s.clean),
    )
    writers = rank_heads(effect)
    random = _random_writers(settings, writers, session.spec.n_heads, session.rng("write heads"))
    writing = session.each(
        "writing",
        cases.writing,
        lambda case: score_writers(engine, case, plan, (writers, random), settings),
        Writing,
    )
    return Measured(cases, sites, plan, reading, sweeps, writers, writing, kept.screened)


def _random_writers(
    settings: CircuitSettings, writers: list[Head], n_heads: int, rng: np.random.Generator
) -> list[list[Head]]:
    draws = [random_heads_like(writers[:HEADLINE_K], n_heads, rng) for _ in range(settings.random_draws)]
    # Where these layers have too few other heads, no control of this size exists.
    return draws if len(draws[0]) == HEADLINE_K else []
