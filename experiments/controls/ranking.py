"""Single positions of discovery quads, and the sites that are chosen from them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from experiments.controls.cases import Cases, QuadAndTwin
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.pairs import PairRun, cache_states, position_sweep
from pkv_interp.measure.patching import order_by, twin_margins
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.run.stage import Stage
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import Quad
from pkv_interp.tasks.sites import positions_by_label, single_labels, site_labels


@dataclass(frozen=True)
class PairSites:
    """One pair of a discovery quad; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        states: by cache state.
        positions: after patching each position of the notes.
        twin: of the corrupt prompt with KV of a same-conclusion donor, by where (field, notes, both).
    """

    clean: float
    corrupt: float
    states: dict[str, float]
    positions: Float[np.ndarray, " notes"]
    twin: dict[str, float]


@dataclass(frozen=True)
class RankedQuad:
    """A discovery quad with every position of its notes patched alone."""

    decisions: list[Decision]
    polarity: PairSites
    field: PairSites


@dataclass(frozen=True)
class NoteRanking:
    """What discovery families chose; held-out families are scored with it.

    Attributes:
        labels: of the aggregators at which residual streams are read and edited, each at one position of
            every prompt, best first.
        notes: single-position recovery by label after the trigger, of polarity pairs.
        field_notes: the same after the field, of field pairs.
    """

    labels: list[str]
    notes: dict[str, float]
    field_notes: dict[str, float]


def run_quad(engine: Engine, quad: Quad, capture: frozenset[str]) -> tuple[PairRun, PairRun, PairRun]:
    """Polarity pair, opposite polarity pair and field pair from one prefill of each cell."""
    vv, vo, oo, ov = (engine.prefill(prompt.ids, capture) for prompt in quad.prompts)
    return PairRun(quad.polarity, vv, vo), PairRun(quad.opposite, oo, ov), PairRun(quad.field, vv, ov)


def rank_sites(engine: Engine, both: QuadAndTwin) -> RankedQuad:
    """On a discovery quad: every single position, cache states, and what same-conclusion donors move."""
    polarity, opposite, field = run_quad(engine, both.quad, frozenset())

    def sites(pair: PairRun, twin: Case) -> PairSites:
        donor = engine.prefill(twin.corrupt.ids)
        return PairSites(
            clean=pair.clean_margin,
            corrupt=pair.corrupt_margin,
            states=cache_states(engine, pair),
            positions=position_sweep(engine, pair),
            twin=twin_margins(engine, pair, donor),
        )

    return RankedQuad(
        decisions=[d for pair in (polarity, opposite) for d in decisions(pair)],
        polarity=sites(polarity, both.twin.polarity),
        field=sites(field, both.twin.field),
    )


def note_labels(case: Case) -> tuple[str, ...]:
    """Labels of a case's notes, in order."""
    return site_labels(case.clean)[case.after_change : case.clean.decision]


def aggregators(quad: Quad, plan: NoteRanking) -> tuple[int, ...]:
    """Positions of the aggregators in every prompt of a quad, in the order of their labels."""
    case = quad.polarity
    return positions_by_label(case.clean, plan.labels, case.after_change)


def best_positions(case: Case, plan: NoteRanking, n: int) -> tuple[int, ...]:
    """The n positions after the trigger of a polarity pair whose labels rank first, best first.

    Their labels may stand at several positions of another prompt, or at none: what is compared across
    prompts by position needs `aggregators`, what is patched in one prompt does not.
    """
    notes = range(case.after_change, case.clean.decision)
    return tuple(order_by(plan.notes, note_labels(case), notes)[:n])


def rank_notes(settings: ControlsSettings, cases: Cases, ranked: Stage[RankedQuad]) -> NoteRanking:
    """Rank position labels on discovery families.

    An aggregator's label must stand for one position in every prompt of the run, so that residuals of
    different prompts can be compared; which labels do is a matter of the template, not of any score.

    Raises:
        PkvError: no label does.
    """
    notes, field_notes = _effects(cases, ranked, "polarity"), _effects(cases, ranked, "field")
    everywhere = set.intersection(
        *(single_labels(quad.polarity.clean, quad.polarity.after_change) for quad in cases.quads)
    )
    labels = [name for name in notes if name in everywhere][: settings.n_aggregators]
    if not labels:
        raise PkvError("no position after the rule is found again in all prompts", "use fewer wordings")
    return NoteRanking(labels, notes, field_notes)


def _effects(cases: Cases, ranked: Stage[RankedQuad], kind: Literal["polarity", "field"]) -> dict[str, float]:
    """Mean single-position recovery by label, best first, over one kind of pair of discovery quads."""
    pairs: list[tuple[Case, PairSites]] = [
        (quad.polarity, found.polarity) if kind == "polarity" else (quad.field, found.field)
        for quad, found in zip(cases.discovery, ranked.of(cases.discovery), strict=True)
    ]
    return dict(
        rank_labels(
            [note_labels(case) for case, _ in pairs],
            [sites.positions - sites.corrupt for _, sites in pairs],
            [sites.clean - sites.corrupt for _, sites in pairs],
        )
    )
