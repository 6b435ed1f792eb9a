"""What every experiment does first: the model, its controls, its competence gate."""

from collections.abc import Callable, Sequence
from dataclasses import asdict

from rich.console import Console

from experiments._cli import Settings
from pkv_interp.engine import Engine
from pkv_interp.measure.competence import Decision, gate
from pkv_interp.measure.controls import measure_controls
from pkv_interp.measure.pairs import run_pair
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.records import Competence, Run, RunRecord, RunStore
from pkv_interp.records.published import comparison_table
from pkv_interp.tasks import Case

#: Allowed error of the controls: (recovery, logits), by the dtype of the model.
TOLERANCE = {
    "float32": (1e-3, 1e-3),
    "bfloat16": (0.1, 0.5),
    "float16": (0.05, 0.1),
}

#: Allowed error of turned keys, as a share of the largest key, by the dtype of the model.
TURNED = {"float32": 1e-4, "bfloat16": 0.02, "float16": 0.005}


def open_run(name: str, settings: Settings, without: frozenset[str] = frozenset()) -> Run:
    """The run of these settings: new, to be continued, or done already.

    Args:
        without: keys that say where things lie and are no part of what is measured.
    """
    config = settings.model_dump(mode="json", exclude=set(without))
    return RunStore(settings.results_dir).open(
        experiment=name,
        model=config.pop("model"),
        config=config,
        seed=settings.seed,
        resume=settings.resume,
    )


def run_once(name: str, settings: Settings, measure: Callable[[Run, Engine], None]) -> RunRecord:
    """As ``run_on``, for an experiment that needs the engine."""
    return run_on(name, settings, lambda run: measure(run, open_engine(settings, run)))


def run_on(name: str, settings: Settings, measure: Callable[[Run], None]) -> RunRecord:
    """Run an experiment on its model, or return the record of an identical finished run; print what it found.

    Args:
        name: of the experiment, as in its record.
        measure: loads the model and fills the run, which is new or goes on from its finished chunks.
    """
    console = Console(stderr=True)
    with open_run(name, settings) as run:
        if not run.done:
            measure(run)
    console.print(comparison_table(run.record))
    report(console, run.record)
    return run.record


def open_model(settings: Settings, run: Run) -> LoadedModel:
    """Load the model and note its provenance in the record."""
    loaded = load(settings.model)
    run.set_model(loaded.info.model_dump(mode="json"))
    return loaded


def open_engine(settings: Settings, run: Run) -> Engine:
    """As ``open_model``, wrapped for interventions."""
    return Engine(open_model(settings, run), settings.memory_budget_mb)


def gather_controls(run: Run, engine: Engine, cases: Sequence[Case]) -> float:
    """Measure self-patch, full patch and batched against single on a few cases; return the noise floor."""
    measured = run.chunk(
        "controls",
        lambda: asdict(measure_controls(engine, [run_pair(engine, c, share=False) for c in cases])),
    )
    share, logits = TOLERANCE[engine.loaded.info.dtype]
    detail = f"{len(cases)} cases"
    run.control("self_patch", measured["self_patch"], 0.0, share, f"absolute recovery, {detail}")
    run.control("full_patch", measured["full_patch"], 1.0, share, f"recovery, {detail}")
    run.control("batched_equals_single", measured["batched_equals_single"], 0.0, logits, f"logits, {detail}")
    run.control(
        "packed_equals_sequential",
        measured["packed_equals_sequential"],
        0.0,
        logits,
        "logits, against a cache edit in plain PyTorch on the first case",
    )
    return set_floor(run, measured["noise"])


def set_floor(run: Run, noise: float) -> float:
    """Record the noise floor of margins: ten times what ways to one differ by, at least a thousandth."""
    run.noise_floor["margin"] = max(10 * noise, 1e-3)
    return run.noise_floor["margin"]


def competence(run: Run, decided: Sequence[Decision], threshold: float, *, seed: int, draws: int) -> bool:
    """Record the competence gate and say whether the model passed it. Random weights never pass."""
    result = gate(decided, threshold, seed=seed, draws=draws)
    passed = result.passed and not run.model["random_weights"]
    run.competence = Competence(
        accuracy=result.accuracy, per_value=result.per_value, threshold=threshold, passed=passed
    )
    run.headline["competence"] = result.accuracy
    run.tables["competence"] = [
        {
            "two_way": result.accuracy.value,
            "top_token": result.top_token,
            **result.per_value,
            "n_prompts": len(decided),
        }
    ]
    return passed


def report(console: Console, record: RunRecord) -> None:
    """Say how the gate and the controls went, and where the record lies."""
    if record.competence is not None:
        sides = ", ".join(f"{side} {value:.2f}" for side, value in record.competence.per_value.items())
        verdict = (
            "passed"
            if record.competence.passed
            else "failed: mechanism figures are withheld from the headline"
        )
        console.print(f"competence gate {verdict} ({sides}; threshold {record.competence.threshold:.2f})")
    console.print(f"controls: {', '.join(f'{c.name} {c.value:.2g}' for c in record.controls)}")
    console.print(f"record: {record.path}", soft_wrap=True)
