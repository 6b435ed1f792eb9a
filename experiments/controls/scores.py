"""All that is read off the decision of a held-out quad."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from einops import rearrange
from jaxtyping import Float

from experiments.controls.cases import QuadAndTwin
from experiments.controls.injecting import FalseConclusions, put_in
from experiments.controls.probing import probed_layers, residual_places
from experiments.controls.ranking import NoteRanking, aggregators, note_labels, run_quad
from experiments.controls.settings import ControlsSettings
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.injection import inject, resample
from pkv_interp.measure.matching import matched_share, random_positions_like
from pkv_interp.measure.pairs import PairRun, cache_states
from pkv_interp.measure.patching import joint_positions, order_by
from pkv_interp.measure.residuals import residuals_at
from pkv_interp.streams import stream
from pkv_interp.tasks.anchors import token_classes
from pkv_interp.tasks.quads import CELLS
from pkv_interp.tasks.sites import positions_of


@dataclass(frozen=True)
class ScrubMargins:
    """Margins with parts of the notes resampled, by donor and by what is resampled (note, rest, all).

    Attributes:
        clean, corrupt: of the prompt that reads the donor's KV.
    """

    clean: dict[str, dict[str, float]]
    corrupt: dict[str, dict[str, float]]


@dataclass(frozen=True)
class PolarityScores:
    """The polarity pair of a held-out quad; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        states: by cache state.
        sites: after patching each aggregator.
        scrub: with notes resampled.
    """

    clean: float
    corrupt: float
    states: dict[str, float]
    sites: Float[np.ndarray, " aggregators"]
    scrub: ScrubMargins


@dataclass(frozen=True)
class FieldScores:
    """The field pair of a held-out quad; margins in logits.

    Attributes:
        clean, corrupt: margins of the two prompts.
        states: by cache state.
        to_clean: of the corrupt prompt with clean notes: all of them, then the first of each size.
        to_corrupt: of the clean prompt with corrupt notes, likewise.
        random: of the corrupt prompt with clean KV at matched random positions.
        matched: share of these that match in region and class of token.
    """

    clean: float
    corrupt: float
    states: dict[str, float]
    to_clean: Float[np.ndarray, " sets"]
    to_corrupt: Float[np.ndarray, " sets"]
    random: Float[np.ndarray, "sizes draws"]
    matched: Float[np.ndarray, " sizes"]


@dataclass(frozen=True)
class QuadScores:
    """A held-out quad, scored with what discovery families chose.

    Attributes:
        decisions: on all four prompts.
        lens: margin that final norm and unembedding read off the decision token of each prompt after each
            block.
        polarity, field: by pair.
        injected: with false conclusions.
    """

    decisions: list[Decision]
    lens: Float[np.ndarray, "cells layers"]
    polarity: PolarityScores
    field: FieldScores
    injected: FalseConclusions


@dataclass(frozen=True)
class ScoresAndResiduals:
    """What one held-out quad gives: its scores, and residual streams that no summary reads."""

    scores: QuadScores
    residuals: Float[np.ndarray, "cells layers places d"]


def score(
    engine: Engine, both: QuadAndTwin, plan: NoteRanking, settings: ControlsSettings
) -> ScoresAndResiduals:
    """On a held-out quad: all that is read off the decision, and the residual streams for the probes."""
    polarity, opposite, field = run_quad(engine, both.quad, frozenset({"prefill"}))
    cells = (polarity.clean, polarity.corrupt, opposite.clean, opposite.corrupt)
    twins = tuple(engine.prefill(prompt.ids) for prompt in both.twin.prompts)
    case, places = both.quad.polarity, aggregators(both.quad, plan)
    # Scrubbing compares no residuals across prompts, so that labels of several positions may count.
    strongest = positions_of(case.clean, set(list(plan.notes)[: settings.n_aggregators]), case.after_change)
    scores = QuadScores(
        decisions=[d for pair in (polarity, opposite) for d in decisions(pair)],
        lens=np.stack([lens_margins(engine, cell, case.action_ids) for cell in cells]),
        polarity=PolarityScores(
            clean=polarity.clean_margin,
            corrupt=polarity.corrupt_margin,
            states=cache_states(engine, polarity),
            sites=joint_positions(engine, polarity, [(place,) for place in places]),
            scrub=scrub(engine, twins, polarity, opposite, strongest),
        ),
        field=score_field(engine, field, plan, settings),
        injected=put_in(engine, both.quad, cells, twins, plan, settings),
    )
    layers = probed_layers(settings, engine.spec.n_layers)
    return ScoresAndResiduals(scores, residuals_at(cells, residual_places(both.quad, plan), layers))


def lens_margins(
    engine: Engine, prefill: Prefill, action_ids: tuple[int, int]
) -> Float[np.ndarray, " layers"]:
    """Margin that final norm and unembedding read off the decision token: of the embedding, then by block."""
    logits = engine.lens(prefill.resid)[:, list(action_ids)]
    return (logits[:, 0] - logits[:, 1]).double().cpu().numpy()


def score_field(engine: Engine, pair: PairRun, plan: NoteRanking, settings: ControlsSettings) -> FieldScores:
    """Top-k note positions against matched random ones, and the same sets as false notes both ways."""
    rng = stream(settings.seed, "controls", "random positions", pair.case.instance)
    notes, prompt = pair.notes, pair.case.clean
    order = order_by(plan.field_notes, note_labels(pair.case), notes)
    tops = [order[:k] for k in settings.sizes]
    classes = token_classes(prompt.tokens)
    strata = [(prompt.kinds[p], classes[p]) for p in notes]
    drawn = [
        [random_positions_like(top, notes, strata, rng) for _ in range(settings.random_draws)] for top in tops
    ]
    control = joint_positions(engine, pair, [positions for draws in drawn for positions in draws])
    matched = [
        [matched_share(top, positions, notes, strata) for positions in draws]
        for top, draws in zip(tops, drawn, strict=True)
    ]
    false_notes = inject(engine, pair, [notes, *tops])
    return FieldScores(
        clean=pair.clean_margin,
        corrupt=pair.corrupt_margin,
        states=cache_states(engine, pair),
        to_clean=false_notes["to_clean"],
        to_corrupt=false_notes["to_corrupt"],
        random=rearrange(control, "(sizes draws) -> sizes draws", sizes=len(tops)),
        matched=np.array(matched).mean(1),
    )


def scrub(
    engine: Engine,
    twins: Sequence[Prefill],
    polarity: PairRun,
    opposite: PairRun,
    strongest: Sequence[int],
) -> ScrubMargins:
    """Note, rest and all of the notes resampled from donors of the same and of the other conclusion.

    Args:
        engine: of the model.
        twins: the twin's prompts in the order of `CELLS`; they give donors.
        polarity: the quad's polarity pair.
        opposite: that with the other field value.
        strongest: positions that count as the note.
    """
    twin_yes, twin_no = twins[CELLS.index("vv")], twins[CELLS.index("vo")]
    sets = {
        "note": tuple(strongest),
        "rest": tuple(p for p in polarity.notes if p not in set(strongest)),
        "all": polarity.notes,
    }

    ids = polarity.case.action_ids
    of_clean = {"same": twin_yes, "same_other_values": opposite.clean, "other": twin_no}
    of_corrupt = {"same": twin_no, "same_other_values": opposite.corrupt, "other": twin_yes}
    return ScrubMargins(
        clean=resample(engine, polarity.clean, of_clean, sets, ids),
        corrupt=resample(engine, polarity.corrupt, of_corrupt, sets, ids),
    )
