"""From what the circuit experiment measured to its report."""

import numpy as np

from experiments.circuit.checks import decompositions, faithfulness_curves, parts_sum, screening
from experiments.circuit.heads import reading_heads, writing_heads
from experiments.circuit.measure import Measured
from experiments.circuit.positions import positions
from experiments.circuit.settings import HEADLINE_K, CircuitSettings
from experiments.circuit.tables import States
from pkv_interp.measure.ranking import pooled_effect
from pkv_interp.records.schema import Row
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.right_pairs import Section, with_right_pairs
from pkv_interp.run.scoring import Scorer, Scoring, row_of
from pkv_interp.run.stage import stacked
from pkv_interp.stats import jaccard_stability


def summarise(found: Measured, scoring: Scoring[CircuitSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    cases, settings = found.cases, scoring.settings
    everything, ranking, held, few = (
        scoring.on(mine, found.sites.of(mine))
        for mine in (cases.all, cases.discovery, cases.held_out, cases.writing)
    )
    decided = [d for site in found.sites.of(cases.all) for d in site.decisions]
    gate = scoring.gate(decided, settings.competence_threshold, found.screened)
    sections: list[Section] = [
        with_right_pairs(lambda all_cases: _states(found, all_cases), everything),
        with_right_pairs(lambda held: positions(found, held, scoring), held),
        with_right_pairs(lambda held: reading_heads(found, held, settings), held),
        with_right_pairs(lambda few: writing_heads(found, few, settings), few),
        with_right_pairs(lambda held: decompositions(found, held), held),
        with_right_pairs(lambda held: screening(found, held), held),
        with_right_pairs(lambda held: faithfulness_curves(found, held, settings), held),
        with_right_pairs(lambda ranking: _stability(found, ranking), ranking),
    ]
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *(headline for section in sections for headline in section[0])],
        tables=[gate.table, *gate.screen, *(line for section in sections for line in section[1])],
        rows=[*everything.rows, *_decisions(found, everything), *held.rows, *few.rows, *gate.rows],
        controls=parts_sum(found, held, scoring),
        arrays=_arrays(found, ranking, held),
    )


def _states(found: Measured, scorer: Scorer) -> Section:
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


def _stability(found: Measured, ranking: Scorer) -> Section:
    """Whether other discovery families would have chosen the same heads."""
    heads = stacked(found.sites.of(ranking.cases), lambda s: s.heads)
    moved = (heads - ranking.corrupt[:, None, None]).reshape(len(heads), -1)
    k = min(HEADLINE_K, moved.shape[1])
    estimate = jaccard_stability(moved, ranking.families, k, seed=ranking.resampling["seed"])
    what = "overlap of the 12 read heads over resampled families"
    return [Headline("circuit_jaccard", estimate, what, bounds=SHARE)], []


def _arrays(found: Measured, ranking: Scorer, held: Scorer) -> dict[str, np.ndarray]:
    return {
        f"read_effect_{split}": pooled_effect(
            stacked(found.sites.of(scorer.cases), lambda s: s.heads), scorer.corrupt, scorer.clean
        )
        for split, scorer in (("discovery", ranking), ("held_out", held))
    }
