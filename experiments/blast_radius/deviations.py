"""What one prompt's flips move: deviations, decisions and causal effects."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from experiments.blast_radius.cases import FlipsOfPrompt, turns_the_conclusion
from experiments.blast_radius.settings import BlastRadiusSettings
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.deviation import MEASURES, Deviation, field_deviation
from pkv_interp.measure.guides import guided_margins
from pkv_interp.measure.pairs import PairRun, margin_of, position_sweep


@dataclass(frozen=True)
class Effects:
    """Margins of a stale prompt with KV of its oracle put in.

    Attributes:
        positions: of each position of the notes alone.
        guides: of the positions that a guide puts first, together, by guide and size.
    """

    positions: Float[np.ndarray, " notes"]
    guides: dict[str, Float[np.ndarray, " sizes"]]


@dataclass(frozen=True)
class FlipDeviation:
    """What one flip moves; measures are those of `MEASURES`.

    Attributes:
        clean, corrupt: margins of the oracle and of the stale prompt, in logits.
        before: largest deviation of any measure before the field.
        most: largest value over layers, of the tokens after the field.
        depth: mean over those tokens, by layer.
        decisions: on both prompts, of a flip that turns the conclusion.
        effects: of such a flip at the lengths at which they are asked for, else None.
    """

    clean: float
    corrupt: float
    before: float
    most: Float[np.ndarray, "measures notes"]
    depth: Float[np.ndarray, "measures layers"]
    decisions: list[Decision]
    effects: Effects | None


@dataclass(frozen=True)
class PromptDeviations:
    """What each flip of one prompt moves, in the order of its flips."""

    flips: list[FlipDeviation]


def measure_flips(
    engine: Engine,
    prompt: FlipsOfPrompt,
    settings: BlastRadiusSettings,
    fresh_rng: Callable[[], np.random.Generator],
) -> PromptDeviations:
    """Deviation of each flip of a prompt; where the conclusion turns also decisions and, if asked, effects.

    Args:
        engine: of the model.
        prompt: with its flips.
        settings: sizes, and the lengths at which effects are measured.
        fresh_rng: makes the stream of random guides, from its start for every flip.
    """
    oracles: dict[tuple[int, ...], Prefill] = {}
    found = []
    for flip in prompt.flips:
        case = flip.case
        if case.clean.ids not in oracles:
            oracles[case.clean.ids] = engine.prefill(case.clean.ids, {"queries"})
        pair = PairRun(case, oracles[case.clean.ids], engine.prefill(case.corrupt.ids))
        moved = field_deviation(engine, pair.clean, pair.corrupt, case.change)
        turns = turns_the_conclusion(flip)
        swept = turns and (settings.pairs is not None or flip.n_fillers in settings.effect_fillers)
        found.append(
            FlipDeviation(
                clean=margin_of(pair.clean, case.action_ids),
                corrupt=margin_of(pair.corrupt, case.action_ids),
                before=moved.before,
                most=moved.most[:, case.after_change :].astype(np.float32),
                depth=moved.depth.astype(np.float32),
                decisions=decisions(pair) if turns else [],
                effects=measure_effects(engine, pair, moved, settings, fresh_rng()) if swept else None,
            )
        )
    return PromptDeviations(found)


def measure_effects(
    engine: Engine,
    pair: PairRun,
    moved: Deviation,
    settings: BlastRadiusSettings,
    rng: np.random.Generator,
) -> Effects:
    """Margins when single positions are patched, and when the first ones of a guide are patched together.

    The guide ``effect`` ranks by the same instance's own effects: a ceiling for guides, not a prediction.

    Args:
        engine: of the model.
        pair: the flip's prompts.
        moved: its deviation.
        settings: sizes and draws.
        rng: of random guides.
    """
    positions = position_sweep(engine, pair)
    notes = list(pair.notes)
    guides = {name: moved.most[MEASURES.index(name), notes] for name in ("output", "v_cosine")}
    guides["effect"] = (positions - pair.corrupt_margin) * np.sign(pair.gap)
    guides["recency"] = np.arange(len(notes), dtype=float)
    guides |= {f"random{i}": rng.random(len(notes)) for i in range(settings.random_draws)}
    found = guided_margins(engine, pair, guides, settings.guide_sizes)
    random = np.mean([found.pop(f"random{i}") for i in range(settings.random_draws)], axis=0)
    return Effects(positions, found | {"random": random})
