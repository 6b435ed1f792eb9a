"""What does a field's change do to the cache, and does that say where the conclusion is kept?

A field flips from an old value (stale prompt) to a new one (oracle). Per layer and token: deviation of K and
V, and of the attention output with the query at its new value over the stale cache in which the field alone
is refreshed. Three classes of fields, from nothing depends on it to the rule decides on it; minor and
semantic flips; 0 to 40 fillers. On semantic flips of class high, every position's deviation is set beside its
causal effect (recovery when its KV alone is patched), and joint patches of the positions that deviate most
beside those of the positions that matter most.

Deviations describe the cache of any model and stay in the headline when the competence gate fails; what rests
on decisions is withheld then. Source of the questions: arXiv 2606.17107, blast radius; protocol and fixes are
in the README. ``configs/blast_radius.yaml`` lists the headline names.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

import numpy as np
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator
from rich.console import Console
from rich.progress import track

from experiments._blast_radius_summary import summarise
from experiments._cli import Settings, entry
from experiments._fields import Draws
from experiments._setup import competence, gather_controls, run_once
from pkv_interp.engine import Engine, Prefill
from pkv_interp.measure.competence import Decision, decisions
from pkv_interp.measure.deviation import MEASURES, Deviation, field_deviation, output_error
from pkv_interp.measure.guides import guided_margins
from pkv_interp.measure.pairs import PairRun, margin_of, position_sweep
from pkv_interp.records import Run, RunRecord
from pkv_interp.tasks import FAMILIES, Style, families
from pkv_interp.tasks.field_classes import CLASSES, ClassCase, class_cases

Chunk = dict[str, Any]
#: Allowed relative error of attention outputs computed outside the model, by its dtype.
OUTPUT_TOLERANCE = {"float32": 1e-3, "bfloat16": 0.05, "float16": 0.01}


class BlastRadiusSettings(Settings):
    """Settings of this experiment; configs/blast_radius.yaml says what each means."""

    families: tuple[str, ...] | None
    instances: PositiveInt
    fillers: tuple[NonNegativeInt, ...]
    effect_fillers: tuple[NonNegativeInt, ...]
    thresholds: tuple[PositiveFloat, ...]
    chat: bool
    guide_sizes: tuple[PositiveInt, ...]
    random_draws: PositiveInt
    competence_threshold: float
    bootstrap_draws: Draws

    @field_validator("families", "fillers", "effect_fillers", "thresholds", "guide_sizes")
    @classmethod
    def _without_repeats(cls, given: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if given is not None and (not given or len(set(given)) < len(given)):
            raise ValueError("the list is empty or names something twice")
        return given

    @model_validator(mode="after")
    def _measured_lengths(self) -> "BlastRadiusSettings":
        if stray := set(self.effect_fillers) - set(self.fillers):
            raise ValueError(f"effect_fillers names {min(stray)}, which fillers does not")
        return self


def build_cases(settings: BlastRadiusSettings, tokenizer: Any) -> list[ClassCase]:
    """Every family, instance, class, length and flip; both flips of a prompt stand together."""
    style = Style(chat=settings.chat, thinking=settings.model.thinking)
    return [
        found
        for family in families(settings.families or [family.name for family in FAMILIES])
        for index in range(settings.instances)
        for field_class in CLASSES
        for found in class_cases(
            family,
            index,
            tokenizer,
            field_class=field_class,
            fillers=settings.fillers,
            seed=settings.seed,
            style=style,
        )
    ]


def measure_flips(
    engine: Engine, cases: Sequence[ClassCase], settings: BlastRadiusSettings, example: bool
) -> list[Chunk]:
    """Deviation of each flip; of a semantic flip in class high also decisions and, where asked, effects."""
    oracles: dict[tuple[int, ...], Prefill] = {}
    out: list[Chunk] = []
    for found in cases:
        case = found.case
        if case.clean.ids not in oracles:
            oracles[case.clean.ids] = engine.prefill(case.clean.ids, {"queries"})
        pair = PairRun(case, oracles[case.clean.ids], engine.prefill(case.corrupt.ids))
        moved = field_deviation(engine, pair.clean, pair.corrupt, case.clean.spans["field"])
        chunk: Chunk = {
            "clean": margin_of(pair.clean, case.action_ids),
            "corrupt": margin_of(pair.corrupt, case.action_ids),
            "before": moved.before,
            "most": moved.most.astype(np.float32),
            "depth": moved.depth.astype(np.float32),
        }
        if found.field_class == "high" and found.flip == "semantic":
            chunk["decisions"] = [asdict(d) for d in decisions(pair)]
            if example:
                chunk["map"] = moved.values.astype(np.float32)
            if found.n_fillers in settings.effect_fillers:
                chunk |= measure_effects(engine, pair, moved, settings)
        out.append(chunk)
    return out


def measure_effects(engine: Engine, pair: PairRun, moved: Deviation, settings: BlastRadiusSettings) -> Chunk:
    """Margins when single positions are patched, and when the first ones of a guide are patched together.

    ``effect`` ranks by the same instance's own effects: a ceiling for guides, not a prediction.
    """
    positions = position_sweep(engine, pair)
    notes = list(pair.notes)
    guides = {name: moved.most[MEASURES.index(name), notes] for name in ("output", "v_cosine")}
    guides["effect"] = (positions - pair.corrupt_margin) * np.sign(pair.gap)
    guides["recency"] = np.arange(len(notes), dtype=float)
    rng = np.random.default_rng([settings.seed, 21])
    guides |= {f"random{i}": rng.random(len(notes)) for i in range(settings.random_draws)}
    found = guided_margins(engine, pair, guides, settings.guide_sizes)
    random = np.mean([found.pop(f"random{i}") for i in range(settings.random_draws)], axis=0)
    return {"positions": positions, "guides": found | {"random": random}}


def blast_radius(settings: BlastRadiusSettings) -> RunRecord:
    """Run the experiment, or return the record of an identical finished run."""
    return run_once(
        "blast_radius",
        settings,
        lambda run, engine: measure(settings, run, engine, build_cases(settings, engine.loaded.tokenizer)),
    )


def measure(settings: BlastRadiusSettings, run: Run, engine: Engine, cases: Sequence[ClassCase]) -> None:
    """The experiment itself: controls, deviations and effects case by case, the gate, the summary."""
    gated = [found for found in cases if found.field_class == "high" and found.flip == "semantic"]
    gather_controls(run, engine, [gated[0].case, gated[-1].case])
    error = run.chunk("outputs", lambda: max(_output_error(engine, found) for found in (gated[0], gated[-1])))
    run.control(
        "attention_outputs",
        error,
        0.0,
        OUTPUT_TOLERANCE[engine.loaded.info.dtype],
        "relative L2, computed outside the model against its own, 2 prompts",
    )
    run.check_controls()
    shortest = min(gated, key=lambda found: (found.case.split != "held_out", found.n_fillers))
    groups = [
        list(group)
        for _, group in groupby(cases, key=lambda f: (f.case.instance, f.field_class, f.n_fillers))
    ]
    chunks: list[Chunk] = []
    for group in track(groups, description="deviations", console=Console(stderr=True)):
        first = group[0]
        chunks += run.chunk(
            f"{first.field_class}/{first.n_fillers}/{first.case.instance}",
            lambda group=group: measure_flips(engine, group, settings, any(f is shortest for f in group)),
        )
    run.control(
        "before_field",
        max(chunk["before"] for chunk in chunks),
        0.0,
        0.0,
        f"largest deviation of K, V and attention output before the field, {len(chunks)} pairs",
    )
    run.check_controls()
    decided = [Decision(**d) for chunk in chunks for d in chunk.get("decisions", ())]
    competence(
        run, decided, settings.competence_threshold, seed=settings.seed, draws=settings.bootstrap_draws
    )
    summarise(run, settings, cases, chunks)


def _output_error(engine: Engine, found: ClassCase) -> float:
    return output_error(engine, engine.prefill(found.case.clean.ids, {"queries", "prefill"}))


main = entry("blast_radius", BlastRadiusSettings)(blast_radius)

if __name__ == "__main__":
    main()
