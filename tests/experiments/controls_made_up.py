"""What the controls experiment would measure on a made-up model whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from experiments.controls.cases import Cases, build_quads, cases_of
from experiments.controls.clamping import ClampedQuad, Clamps
from experiments.controls.features import PLACES, read_features, train_features
from experiments.controls.injecting import FalseConclusions
from experiments.controls.measure import Measured
from experiments.controls.outside import TemplateStates
from experiments.controls.probing import probe
from experiments.controls.ranking import PairSites, RankedQuad, note_labels, rank_notes
from experiments.controls.scores import FieldScores, PolarityScores, QuadScores, ScrubMargins
from experiments.controls.settings import ControlsSettings
from experiments.controls.steering import Edits
from pkv_interp.measure.competence import Decision
from pkv_interp.measure.residuals import QuadResiduals
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks import Case
from pkv_interp.tasks.quads import CONCLUSIONS, Quad
from tests.families import tiny

#: Positions are the strongest one and three aggregators.
LAYERS, POSITIONS, WIDTH, REPLAYED = 4, 4, 16, 400
CLEAN, CORRUPT = 3.0, -3.0
GAP = CLEAN - CORRUPT


def decided(family: str, instance: str, right: bool = True) -> list[Decision]:
    """One decision on each side."""
    return [Decision(family, instance, match, CLEAN, right, right) for match in (True, False)]


def planted(quads: Sequence[Quad]) -> QuadResiduals:
    """Residuals that hold the conclusion from layer 2 on in all families alike, the field in its own way."""
    rng = np.random.default_rng(0)
    shared = 4.0 * np.linalg.qr(rng.normal(size=(WIDTH, WIDTH)))[0][0]
    own = {quad.family: 0.5 * rng.normal(size=(POSITIONS, WIDTH)) for quad in quads}
    values = 0.3 * rng.normal(size=(len(quads), 4, LAYERS, POSITIONS, WIDTH))
    for i, quad in enumerate(quads):
        for cell in range(4):
            values[i, cell] += (1.0 if quad.fields[cell] else -1.0) * own[quad.family]
            values[i, cell, 1:] += (1.0 if CONCLUSIONS[cell] else -1.0) * shared
    return QuadResiduals(values.astype(np.float32), range(1, LAYERS + 1), quads)


def states(changed: str, alone: float, clean: float) -> dict[str, float]:
    """Margins by cache state: the changed span alone, the notes alone, both."""
    return {f"{changed}_only": alone, "notes_only": clean - 0.06, "full_patch": clean}


def ranked(quad: Quad, jitter: float) -> RankedQuad:
    """A discovery quad; no single position moves anything."""
    clean = CLEAN + jitter
    twin = {"field": CORRUPT + 0.03, "notes": CORRUPT - 0.6, "both": CORRUPT + 0.6}

    def sites(case: Case, alone: float) -> PairSites:
        positions = np.full(len(note_labels(case)), CORRUPT)
        return PairSites(clean, CORRUPT, states(case.changed, alone, clean), positions, twin)

    return RankedQuad(
        decided(quad.family, quad.instance),
        sites(quad.polarity, CORRUPT + 0.06 + jitter),
        sites(quad.field, CORRUPT),
    )


def scored(quad: Quad, settings: ControlsSettings, jitter: float) -> QuadScores:
    """A held-out quad."""
    clean = CLEAN + jitter
    gap, sizes = clean - CORRUPT, len(settings.sizes)
    shifts = {
        "same": {"note": 0.01, "rest": 0.0, "all": 0.02},
        "same_other_values": {"note": -0.03, "rest": 0.1, "all": 0.1},
        "other": {"note": 0.8, "rest": 0.3, "all": 1.0},
    }

    def resampled(start: float, sign: float) -> dict[str, dict[str, float]]:
        return {
            donor: {where: start + sign * shift * gap for where, shift in mine.items()}
            for donor, mine in shifts.items()
        }

    first = np.array(CONCLUSIONS)[:, None]
    return QuadScores(
        decisions=decided(quad.family, quad.instance),
        # The lens leans to the first action and tells the conclusions apart from block 3 on.
        lens=np.where(first, [1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, -1.0, -2.0]),
        polarity=PolarityScores(
            clean=clean,
            corrupt=CORRUPT,
            states=states("trigger", CORRUPT + 0.06 + jitter, clean),
            sites=np.array([CORRUPT + 0.5 * gap + jitter, CORRUPT + jitter, CORRUPT - jitter]),
            scrub=ScrubMargins(resampled(clean, -1.0), resampled(CORRUPT, 1.0)),
        ),
        field=FieldScores(
            clean=clean,
            corrupt=CORRUPT,
            states=states("field", CORRUPT, clean),
            to_clean=np.array([clean, *[CORRUPT + 0.8 * gap] * sizes]),
            to_corrupt=np.array([CORRUPT, *[clean - 0.4 * gap] * sizes]),
            random=np.full((sizes, settings.random_draws), CORRUPT + 0.15 * gap),
            matched=np.linspace(1.0, 0.5, sizes),
        ),
        injected=injected(clean, gap),
    )


def injected(clean: float, gap: float) -> FalseConclusions:
    """False conclusions move 0.8 of the gap at the aggregators, and one of two random draws a tenth."""
    first = np.array(CONCLUSIONS)
    plain, toward = np.where(first, clean, CORRUPT), np.where(first, -gap, gap)
    shares = {"aggregators": 0.8, "single_labels": 0.4, "all_notes": 1.0}
    return FalseConclusions(
        plain=plain,
        other={name: plain + share * toward for name, share in shares.items()},
        random=np.stack([plain, plain + 0.1 * toward], axis=1),
        same=plain + 0.02 * gap * np.array([1.0, -1.0, 1.0, -1.0]) * np.where(first, 1.0, -1.0),
        matched=0.75,
    )


def replayed(seed: int) -> np.ndarray:
    """Residuals of a text that has nothing to do with any conclusion."""
    return np.random.default_rng(seed).normal(size=(REPLAYED, WIDTH)).astype(np.float32)


def clamped() -> ClampedQuad:
    """Margins of a quad with features clamped: at all aggregators they move half of what one place does."""

    def at(share: float) -> Clamps:
        into = {"full": 0.6, "top1": 0.1, "random1": 0.0, "top30": 0.4}
        out = {"full": 0.5, "top1": 0.05, "top30": 0.2}
        return Clamps(
            {name: CORRUPT + share * moved * GAP for name, moved in into.items()},
            {name: CLEAN - share * moved * GAP for name, moved in out.items()},
        )

    return ClampedQuad(at(1.0), at(0.5))


def edited() -> Edits:
    """Margins of an edited quad."""
    into = {"nothing": 0.0, "full": 0.9, "along": 0.2, "across": 0.7, "along_probe": 0.1}
    into |= {"add": 0.3, "add_probe": 0.1, "add_random@0": 0.02, "add_random@1": -0.02}
    out = {"ablate": 0.25, "ablate_probe": 0.1, "ablate_random@0": 0.0, "ablate_random@1": 0.0}
    return Edits(
        {name: CORRUPT + share * GAP for name, share in into.items()},
        {name: CLEAN - share * GAP for name, share in out.items()},
    )


def outside(case: Case, jitter: float) -> TemplateStates:
    """A template's case: two hops are decided rightly and so is the lookup, small talk is not."""
    share = {"multi_hop": 0.05, "conversational": 0.0, "lookup": 0.6}[case.wording]
    margins = {"field_only": CORRUPT + share * GAP + jitter, "notes_only": CLEAN, "full_patch": CLEAN}
    right = case.wording != "conversational"
    return TemplateStates(CLEAN, CORRUPT, margins, decided(case.family, case.instance, right))


def cases(settings: ControlsSettings) -> Cases:
    """The experiment's own cases, under the tiny tokenizer."""
    tokenizer = tiny("llama").tokenizer
    return cases_of(settings, *build_quads(settings, tokenizer), tokenizer)


def measured(settings: ControlsSettings) -> Measured:
    """Everything, with margins that differ a little between quads; edited quads have no such jitter."""
    mine, rng = cases(settings), np.random.default_rng(1)
    without = {quad.instance for quad in mine.edited}

    def jitter(name: str = "") -> float:
        drawn = float(rng.normal(0, 1e-3))
        return 0.0 if name in without else drawn

    found = Stage({key_of(quad): ranked(quad, jitter()) for quad in mine.discovery})
    streams = planted(mine.quads)
    known = streams.at_places(PLACES["all"])
    features = train_features(settings, streams, 2, replayed(2), replayed(3))
    return Measured(
        cases=mine,
        ranked=found,
        plan=rank_notes(settings.model_copy(update={"n_aggregators": POSITIONS - 1}), mine, found),
        scores=Stage({key_of(quad): scored(quad, settings, jitter(quad.instance)) for quad in mine.held_out}),
        outside=Stage({key_of(case): outside(case, jitter()) for case in mine.templates}),
        probes=probe(known, settings, np.random.default_rng(45)),
        tested={2: 0.3, 4: 0.1},
        edits=Stage({key_of(quad): edited() for quad in mine.edited}),
        clamped=Stage({key_of(quad): clamped() for quad in mine.edited}),
        coding=read_features(settings, features, streams),
    )
