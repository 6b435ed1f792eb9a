"""Where the notes are: aggregators, single positions, kinds of token."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.circuit.measure import Measured
from experiments.circuit.settings import CircuitSettings
from experiments.circuit.sites import Sites, note_labels
from experiments.circuit.tables import SiteLabel, TokenKind
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.run.report import Headline
from pkv_interp.run.right_pairs import Section
from pkv_interp.run.scoring import Scorer, Scoring
from pkv_interp.run.stage import stacked
from pkv_interp.run.tokens import Token, token_table
from pkv_interp.tasks import Case


def positions(found: Measured, held: Scorer, scoring: Scoring[CircuitSettings]) -> Section:
    """Headlines of the aggregators, and the tables of labels, tokens and kinds."""
    reading = found.reading.of(held.cases)
    headlines = [
        Headline(
            "top_aggregator",
            held.arm("top_aggregator", stacked(reading, lambda r: r.top_aggregator)),
            "KV of one label, the best on discovery",
        ),
        Headline(
            "aggregators_joint",
            held.arm("aggregators_joint", stacked(reading, lambda r: r.aggregators)),
            "KV of eight labels",
        ),
    ]
    return headlines, [*_labels(found, scoring), *_example(found, held), *_by_kind(found, held)]


def _effects(cases: Sequence[Case], sites: Sequence[Sites]) -> dict[str, float]:
    """Mean single-position recovery by label, best first."""
    return dict(
        rank_labels(
            [note_labels(case) for case in cases],
            [site.positions - site.corrupt for site in sites],
            [site.clean - site.corrupt for site in sites],
        )
    )


def _labels(found: Measured, scoring: Scoring[CircuitSettings]) -> list[SiteLabel]:
    cases = found.cases
    on_held_out = _effects(cases.held_out, found.sites.of(cases.held_out))
    lines = []
    for label, value in _effects(cases.discovery, found.sites.of(cases.discovery)).items():
        chosen = label in found.plan.labels
        interval = _interval(found, scoring, label) if chosen else {}
        lines.append(SiteLabel(label, value, on_held_out.get(label), chosen, **interval))
    return lines


def _interval(found: Measured, scoring: Scoring[CircuitSettings], label: str) -> dict[str, Any]:
    """Interval of a label's mean single-position recovery, over the held-out cases that have the label."""
    chosen = [case for case in found.cases.held_out if label in note_labels(case)]
    if not chosen:
        return {}
    sites = found.sites.of(chosen)
    patched = [
        float(np.mean(site.positions[[name == label for name in note_labels(case)]]))
        for case, site in zip(chosen, sites, strict=True)
    ]
    estimate = scoring.on(chosen, sites).recovery(patched)
    return estimate.model_dump(include={"ci_low", "ci_high", "n_families", "n_instances"})


def _example(found: Measured, held: Scorer) -> list[Token]:
    """The first prompt whose gap is above the noise floor, token by token."""
    first = int(np.flatnonzero(np.abs(held.gap) > held.floor)[0])
    case = held.cases[first]
    site = found.sites.at(case)
    return token_table(case, (site.positions - site.corrupt) / held.gap[first])


def _by_kind(found: Measured, held: Scorer) -> list[TokenKind]:
    """Sum of single-position recoveries by token kind, and how many positions of the kind there are."""
    kinds = [np.array(case.clean.kinds[case.after_change : case.clean.decision]) for case in held.cases]
    sites = found.sites.of(held.cases)
    lines = []
    for kind in sorted({str(name) for mine in kinds for name in mine}):
        total = [
            site.corrupt + float((site.positions - site.corrupt)[mine == kind].sum())
            for site, mine in zip(sites, kinds, strict=True)
        ]
        count = float(np.mean([int((mine == kind).sum()) for mine in kinds]))
        lines.append(TokenKind.of(held.recovery(total), kind=kind, positions_per_prompt=count))
    return lines
