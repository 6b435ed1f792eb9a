"""From what the circuit experiment measured to its report."""

import numpy as np

from experiments.circuit.cases import Cases
from experiments.circuit.checks import decompositions, faithfulness_curves, screening
from experiments.circuit.heads import reading_heads, writing_heads
from experiments.circuit.measure import Measured
from experiments.circuit.positions import positions
from experiments.circuit.settings import HEADLINE_K, CircuitSettings
from experiments.circuit.tables import States
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.scoring import Scorer, Scoring, row_of
from pkv_interp.run.stage import stacked
from pkv_interp.stats import jaccard_stability


def summarise(found: Measured, scoring: Scoring[CircuitSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases, scoring.settings
    everything = scoring.on(cases.all, found.sites.of(cases.all))
    held = scoring.on(cases.held_out, found.sites.of(cases.held_out))
    few = scoring.on(cases.writing, found.sites.of(cases.writing))
    decided = [d for site in found.sites.of(cases.all) for d in site.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    parts = [
        _states(found, everything),
        positions(found, held, scoring),
        reading_heads(found, held, settings),
        writing_heads(found, few, settings),
    ]
    share = decompositions(found, held, scoring)
    screen, curves = screening(found, held), faithfulness_curves(found, held, settings)
    return Report(
        gate=gate.competence,
        headlines=[
            gate.headline,
            *(headline for part in parts for headline in part[0]),
            *share.headlines,
            *screen[0],
            *curves[0],
            _stability(found, settings.seed),
        ],
        tables=[
            gate.table,
            *gate.screen,
            *(line for part in parts for line in part[1]),
            *share.tables,
            *screen[1],
            *curves[1],
        ],
        rows=[*everything.rows, *_decisions(found, everything), *held.rows, *few.rows, *gate.rows],
        controls=share.controls,
        arrays=_arrays(found, held),
    )


def _states(found: Measured, scorer: Scorer) -> tuple[list[Headline], list[TableRow]]:
    sites = found.sites.of(scorer.cases)
    changed = scorer.cases[0].changed
    words = {
        f"{changed}_only": f"KV of the flipped {changed} alone",
        "notes_only": f"KV after the {changed} alone",
    }
    estimates = {arm: scorer.arm(arm, [s.states[arm] for s in sites]) for arm in words}
    return (
        [Headline(arm, estimate, words[arm]) for arm, estimate in estimates.items()],
        [States.of(estimate, arm=arm) for arm, estimate in estimates.items()],
    )


def _decisions(found: Measured, scorer: Scorer) -> list[Row]:
    """One row per case about what the model decides on both of its prompts."""
    rows = []
    for case, site in zip(scorer.cases, found.sites.of(scorer.cases), strict=True):
        right: dict[str, float | int | str | bool | None] = {}
        for decision in site.decisions:
            side = "match" if decision.gold_is_match else "mismatch"
            right |= {f"{side}_right": decision.right, f"{side}_top_token_right": decision.top_token_right}
        rows.append(row_of(case, "unpatched", clean=site.clean, corrupt=site.corrupt, extra=right))
    return rows


def _discovery_heads(cases: Cases, found: Measured) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Margins with each head patched, [cases, layers, heads], and of both prompts, on discovery cases."""
    sites = found.sites.of(cases.discovery)
    clean, corrupt = stacked(sites, lambda s: s.clean), stacked(sites, lambda s: s.corrupt)
    return stacked(sites, lambda s: s.heads), clean, corrupt


def _stability(found: Measured, seed: int) -> Headline:
    heads, _, corrupt = _discovery_heads(found.cases, found)
    moved = (heads - corrupt[:, None, None]).reshape(len(heads), -1)
    names = [case.family for case in found.cases.discovery]
    estimate = jaccard_stability(moved, names, min(HEADLINE_K, moved.shape[1]), seed=seed)
    what = "overlap of the 12 read heads over resampled families"
    return Headline("circuit_jaccard", estimate, what, bounds=SHARE)


def _arrays(found: Measured, held: Scorer) -> dict[str, np.ndarray]:
    heads, clean, corrupt = _discovery_heads(found.cases, found)
    scored = stacked(found.sites.of(held.cases), lambda s: s.heads)
    return {
        "read_effect_discovery": pooled_effect(heads, corrupt, clean),
        "read_effect_held_out": pooled_effect(scored, held.corrupt, held.clean),
    }
