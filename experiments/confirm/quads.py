"""Quads: labels ranked on discovery families, and on scored ones scrubbing, the lens, residual streams."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.confirm.about import About
from experiments.confirm.items import QuadAndTwin
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.injection import resample
from pkv_interp.measure.pairs import PairRun, position_sweep, run_pair
from pkv_interp.measure.probes import commit_index
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.measure.residuals import residuals_at
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import Quad
from pkv_interp.tasks.sites import positions_by_label, positions_of, single_labels, site_labels

#: By claim: whose keys and values are taken, and for which of the notes.
SCRUBS = {"scrub_note": ("other", "note"), "scrub_rest": ("other", "rest"), "scrub_same": ("same", "all")}


@dataclass(frozen=True)
class RankedNotes:
    """A discovery pair with each position of its notes patched alone; margins in logits."""

    clean: float
    corrupt: float
    positions: Float[np.ndarray, " notes"]


@dataclass(frozen=True)
class Labels:
    """What discovery families chose.

    Attributes:
        strongest: labels that count as the note, best first, of which a prompt may have several or none.
        single: the best labels that stand at one position of every prompt of the run, discovery and scored:
            whether they do is a matter of the prompts, not of any score.
    """

    strongest: list[str]
    single: list[str]


@dataclass(frozen=True)
class QuadScores:
    """A scored quad; margins in logits.

    Attributes:
        clean, corrupt: of the polarity pair.
        moved: shift towards the other conclusion on the clean and on the corrupt prompt, by claim.
        present: how many of the strongest labels the prompt has.
        commit: entry of the lens from which all four answers are kept, over the number of layers.
    """

    about: About
    decisions: list[Decision]
    clean: float
    corrupt: float
    moved: dict[str, tuple[float, float]]
    present: int
    commit: float


@dataclass(frozen=True)
class Residuals:
    """Residual streams of a quad's four prompts at the single labels."""

    values: Float[np.ndarray, "cells layers labels d"]


@dataclass(frozen=True)
class ScoresAndResiduals:
    """What one scored quad gives; no summary reads the residual streams."""

    scores: QuadScores
    residuals: Residuals


def note_labels(case: Case) -> tuple[str, ...]:
    """Labels of a case's notes, in order."""
    return site_labels(case.clean)[case.after_change : case.clean.decision]


def sweep_notes(engine: Engine, case: Case) -> RankedNotes:
    """Every single position of the notes of a discovery pair."""
    pair = run_pair(engine, case, ())
    return RankedNotes(pair.clean_margin, pair.corrupt_margin, position_sweep(engine, pair))


def choose_labels(
    quads: Sequence[Quad], found: Sequence[RankedNotes], scored: Sequence[QuadAndTwin], number: int
) -> Labels:
    """The first labels by their effect on discovery families.

    Args:
        quads: of discovery families.
        found: on them.
        scored: whose prompts are looked at for where labels stand.
        number: of labels.
    """
    ranked = rank_labels(
        [note_labels(quad.polarity) for quad in quads],
        [one.positions - one.corrupt for one in found],
        [one.clean - one.corrupt for one in found],
    )
    names = [name for name, _ in ranked]
    every = [*(quad.polarity for quad in quads), *(one.quad.polarity for one in scored)]
    single = set.intersection(*(single_labels(case.clean, case.after_change) for case in every))
    return Labels(names[:number], [name for name in names if name in single][:number])


def probed_layers(n_layers: int, number: int) -> list[int]:
    """Entries of the residual stream that are probed: block outputs, the last one always among them."""
    step = max(1, n_layers // number)
    return sorted({*range(step, n_layers + 1, step), n_layers})


def collect(engine: Engine, quad: Quad, labels: Labels, layers: Sequence[int]) -> Residuals:
    """Residual streams of a discovery quad."""
    cells = [engine.prefill(prompt.ids, {"prefill"}) for prompt in quad.prompts]
    return _residuals(cells, quad, labels, layers)


def score_quad(
    engine: Engine, both: QuadAndTwin, labels: Labels, layers: Sequence[int]
) -> ScoresAndResiduals:
    """All that is read off a scored quad.

    Args:
        engine: of the model.
        both: the quad, and its twin, which gives donors.
        labels: chosen on discovery families.
        layers: entries of the residual stream to keep.
    """
    quad = both.quad
    cells = [engine.prefill(prompt.ids, {"prefill"}) for prompt in quad.prompts]
    polarity = PairRun(quad.polarity, cells[0], cells[1])
    opposite = PairRun(quad.opposite, cells[2], cells[3])
    case, ids = quad.polarity, quad.polarity.action_ids
    note = positions_of(case.clean, set(labels.strongest), case.after_change)
    sets = {
        "note": note,
        "rest": tuple(p for p in polarity.notes if p not in set(note)),
        "all": polarity.notes,
    }
    there = {name: positions for name, positions in sets.items() if positions}
    yes, no = (
        engine.prefill(prompt.ids) for prompt in (both.twin.polarity.clean, both.twin.polarity.corrupt)
    )
    clean = resample(engine, polarity.clean, {"same": yes, "other": no}, there, ids)
    corrupt = resample(engine, polarity.corrupt, {"same": no, "other": yes}, there, ids)
    moved = {
        # Where a prompt has none of the labels, resampling them moves nothing.
        claim: (
            polarity.clean_margin - clean[donor].get(where, polarity.clean_margin),
            corrupt[donor].get(where, polarity.corrupt_margin) - polarity.corrupt_margin,
        )
        for claim, (donor, where) in SCRUBS.items()
    }
    lens = np.stack([lens_margins(engine, cell, ids) for cell in cells])
    scores = QuadScores(
        about=About(quad.family, quad.instance, case.wording, str(both.layout)),
        decisions=[*decisions(polarity), *decisions(opposite)],
        clean=polarity.clean_margin,
        corrupt=polarity.corrupt_margin,
        moved=moved,
        present=len(set(labels.strongest) & set(note_labels(case))),
        commit=float(commit_index(lens).max() / engine.spec.n_layers),
    )
    return ScoresAndResiduals(scores, _residuals(cells, quad, labels, layers))


def lens_margins(engine: Engine, cell: Prefill, ids: tuple[int, int]) -> Float[np.ndarray, " layers"]:
    """Margin that final norm and unembedding read off the decision token: of the embedding, then by block."""
    logits = engine.lens(cell.resid)[:, list(ids)]
    return (logits[:, 0] - logits[:, 1]).double().cpu().numpy()


def _residuals(cells: Sequence[Prefill], quad: Quad, labels: Labels, layers: Sequence[int]) -> Residuals:
    case = quad.polarity
    places = positions_by_label(case.clean, labels.single, case.after_change)
    return Residuals(residuals_at(cells, places, layers))
