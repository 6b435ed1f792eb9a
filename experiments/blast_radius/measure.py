"""What the blast radius experiment measures: deviations of every flip, decisions and effects of some."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from experiments.blast_radius.cases import FlipsOfPrompt, candidates, deciding
from experiments.blast_radius.deviations import FlipDeviation, PromptDeviations, measure_flips
from experiments.blast_radius.settings import BlastRadiusSettings
from pkv_interp.engine import Engine
from pkv_interp.measure.deviation import field_deviation, output_error
from pkv_interp.run.screen import Candidates
from pkv_interp.run.screened import SCORED, Screened
from pkv_interp.run.stage import Stage
from pkv_interp.tasks.field_classes import ClassCase

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


#: What a record of own pairs says of the parts that it does not have.
WITHOUT_A_RULE = (
    "own pairs: each counts as a change that turns the conclusion (class high, semantic), with its effects "
    "measured; what needs a rule is left out, namely fields of the classes low and medium, minor flips, and "
    "growing prompts"
)

#: What a record says of the parts that a layout has no place for.
TURNING_ONLY = (
    "the rule of this layout names both values, or no second field has a line in it: only changes that turn "
    "the conclusion are there (class high, semantic); fields of the classes low and medium and minor flips "
    "are left out"
)


@dataclass(frozen=True)
class Example:
    """One flip with its deviation in every layer and at every token of the cache."""

    flip: ClassCase
    values: Float[np.ndarray, "measures layers tokens"]


@dataclass(frozen=True)
class OutputError:
    """Largest relative L2 of attention outputs computed outside the model against its own."""

    relative: float


@dataclass(frozen=True)
class Measured:
    """All that was measured, by prompt, and the example prompt token by token.

    Attributes:
        screened: what the instances were chosen from; nothing where the first ones were taken.
    """

    prompts: list[FlipsOfPrompt]
    deviations: Stage[PromptDeviations]
    example: Example
    screened: Screened = field(default_factory=Screened)

    @property
    def flips(self) -> list[tuple[ClassCase, FlipDeviation]]:
        """Every flip with what it moves."""
        return [
            pair
            for prompt in self.prompts
            for pair in zip(prompt.flips, self.deviations.at(prompt).flips, strict=True)
        ]


def measure(session: "Session[BlastRadiusSettings]") -> Measured:
    """Check the engine and the attention outputs, then measure every prompt's flips."""
    settings = session.settings
    per_family = settings.instances if settings.pairs is None else None
    kept = session.right_on_both(
        "screen",
        {SCORED: Candidates(candidates(settings, session.tokenizer), per_family)},
        lambda one: (one.deciding,),
    )
    prompts = [prompt for one in kept.items[SCORED] for prompt in one.make_prompts()]
    if settings.pairs is not None:
        session.run.remarks.append(WITHOUT_A_RULE)
    elif settings.only_turning:
        session.run.remarks.append(TURNING_ONLY)
    engine = session.engine
    turning = deciding(prompts)
    session.check_engine([turning[0].case, turning[-1].case])
    outputs = session.once("attention outputs", lambda: _output_error(engine, turning), OutputError)
    session.control(
        "attention_outputs",
        outputs.relative,
        0.0,
        session.tolerance.outputs,
        "relative L2, computed outside the model against its own, 2 prompts",
    )
    deviations = session.each(
        "deviations",
        prompts,
        lambda prompt: measure_flips(engine, prompt, settings, lambda: session.rng("random guides")),
        PromptDeviations,
    )
    found = [flip.before for prompt in deviations.all() for flip in prompt.flips]
    session.control(
        "before_field",
        max(found),
        0.0,
        0.0,
        f"largest deviation of K, V and attention output before the field, {len(found)} pairs",
    )
    shown = min(turning, key=lambda flip: (flip.case.split != "held_out", flip.n_fillers))
    return Measured(
        prompts, deviations, session.once("map", lambda: _example(engine, shown), Example), kept.screened
    )


def _output_error(engine: Engine, flips: list[ClassCase]) -> OutputError:
    ends = [engine.prefill(flip.case.clean.ids, {"queries", "prefill"}) for flip in (flips[0], flips[-1])]
    return OutputError(max(output_error(engine, prefill) for prefill in ends))


def _example(engine: Engine, flip: ClassCase) -> Example:
    oracle = engine.prefill(flip.case.clean.ids, {"queries"})
    stale = engine.prefill(flip.case.corrupt.ids)
    moved = field_deviation(engine, oracle, stale, flip.case.change)
    return Example(flip, moved.values.astype(np.float32))
