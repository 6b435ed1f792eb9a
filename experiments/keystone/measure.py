"""What the keystone experiment measures: edits on both caches, and cuts into chunks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from experiments.keystone.checks import check_splices
from experiments.keystone.edits import SceneCuts, SceneEdits, cut_up, edit_both
from experiments.keystone.settings import KeystoneSettings
from pkv_interp.measure.edit_ranking import ALIGNED, AttentionScores, learn_attention, score_attention
from pkv_interp.measure.edit_scenes import SceneSource

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


#: Exact where fields are isolated.
EXACT = "field_only"


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        edits: family by family, each in both directions, one after the other.
        cuts: of one direction, for both have the same two prompts.
    """

    edits: list[SceneEdits]
    cuts: list[SceneCuts]


def isolated_apart(edits: Sequence[SceneEdits]) -> list[float]:
    """How far margins after an isolated field's edit are from those of the new text, on either cache."""
    return [
        abs(cache.methods[EXACT].margin - cache.new)
        for one in edits
        for cache in (one.recomputed, one.composed)
        if EXACT in cache.methods
    ]


def measure(session: "Session[KeystoneSettings]") -> Measured:
    """Check splices, rank positions on instances of their own, edit and cut the others."""
    settings, engine = session.settings, session.engine
    pattern = session.pattern()
    source = SceneSource.of(settings, session.tokenizer)
    style = source.style(settings.n_fillers)  # the field before the rule
    scenes = source.scenes(style, settings.instances)
    check_splices(session, [scenes[0], scenes[-1]])
    ranking = source.ranking_cases(style)
    scores = session.each("ranking", ranking, lambda case: score_attention(engine, case), AttentionScores)
    attention = learn_attention(ranking, scores.of(ranking))
    edits = session.each(
        "edits",
        scenes,
        lambda scene: edit_both(engine, scene, source, attention[scene.family], settings),
        SceneEdits,
    ).of(scenes)
    session.control("positions_agree", float(np.mean([one.aligned for one in edits])), 1.0, 0.0, ALIGNED)
    apart = [] if pattern is None else isolated_apart(edits)
    if apart:
        session.control(
            "isolated_edit_equals_prefill", max(apart), 0.0, session.tolerance.logits,
            "logits, margins after an isolated field's edit against those of a cache made from the new text, "
            f"recomputed and composed, {len(apart)} of them",
        )  # fmt: skip
    one_way = scenes[::2]
    cuts = session.each("cuts", one_way, lambda scene: cut_up(engine, scene, settings.cuts), SceneCuts).of(
        one_way
    )
    session.control(
        "trace_equals_api",
        max(one.trace_difference for one in (*edits, *cuts)),
        0.0,
        session.tolerance.logits,
        f"logits, traced decisions against those of the editing API, {len(edits)} edits and {len(cuts)} cuts",
    )
    return Measured(edits, cuts)
