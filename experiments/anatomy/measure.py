"""What the anatomy experiment measures: parts, rewordings, paths, heads, and what plain caches predict."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments.anatomy.cases import Cases, arrange, candidates, corrected
from experiments.anatomy.heads import (
    ChosenHeads,
    Heads,
    RankedHeads,
    draw_heads,
    measure_heads,
    rank,
)
from experiments.anatomy.parts import Parts, measure_parts
from experiments.anatomy.prediction import Predictions, predict
from experiments.anatomy.prefill_paths import Paths, measure_paths
from experiments.anatomy.settings import AnatomySettings
from experiments.anatomy.words import Rewordings, measure_words
from pkv_interp.cache import Runner
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
        ranked: of discovery cases.
        chosen: of heads.
        parts, words, paths, heads, predictions: of held-out cases.
        screened: what the cases were chosen from; nothing where the first ones were taken.
    """

    cases: Cases
    ranked: Stage[RankedHeads]
    chosen: ChosenHeads
    parts: Stage[Parts]
    words: Stage[Rewordings]
    paths: Stage[Paths]
    heads: Stage[Heads]
    predictions: Stage[Predictions]
    screened: Screened = field(default_factory=Screened)


def measure(session: "Session[AnatomySettings]") -> Measured:
    """Rank heads on discovery families, then take the held-out ones' notes apart."""
    settings = session.settings
    ranking, scoring = candidates(settings, session.tokenizer)
    lines = corrected(settings, session.tokenizer)
    kept = session.right_on_both(
        "screen",
        {
            "discovery": Candidates(ranking, settings.ranking_instances),
            SCORED: Candidates(scoring, settings.instances),
        },
        lambda one: (one.case,),
    )
    scored = kept.items[SCORED]
    cases = arrange(kept.items["discovery"], scored)
    session.check_engine(cases.ends)
    engine = session.engine
    for kind in ("swapped", "renamed"):
        if missing := sum(getattr(one, kind) is None for one in scored):
            session.run.remarks.append(
                f"{missing} of {len(scored)} held-out cases have no {kind} donor that aligns with them"
            )
    ranked = session.each("ranking", cases.discovery, lambda case: rank(engine, case), RankedHeads)
    found = ranked.of(cases.discovery)
    effect = pooled_effect(
        stacked(found, lambda s: s.heads),
        stacked(found, lambda s: s.corrupt),
        stacked(found, lambda s: s.clean),
    )
    chosen = draw_heads(
        rank_heads(effect),
        settings.sizes,
        session.spec.n_heads,
        settings.random_draws,
        session.rng("read heads"),
    )
    held, runner = cases.held_out, Runner.of(session.loaded.model)
    return Measured(
        cases,
        ranked,
        chosen,
        parts=session.each("parts", held, lambda case: measure_parts(engine, case, settings), Parts),
        words=session.each("words", scored, lambda one: measure_words(engine, one), Rewordings),
        paths=session.each("paths", held, lambda case: measure_paths(engine, case, settings), Paths),
        heads=session.each("heads", held, lambda case: measure_heads(engine, case, chosen, settings), Heads),
        predictions=session.each(
            "prediction",
            held,
            lambda case: predict(engine, runner, case, lines[case.instance], settings),
            Predictions,
        ),
        screened=kept.screened,
    )
