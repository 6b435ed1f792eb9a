"""Train the gate: a LoRA that makes a small chat model decide by field and rule, on words not tested with.

The adapter is judged on evaluation families, rule wordings and update wordings that training never saw, at
every prompt length; on ordinary chat, against the base model; and on whether the published mechanism (the
decision reads notes, not the field) is there at each stage of training.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

from experiments._cli import Settings, entry
from experiments._fields import Draws
from experiments._setup import gather_controls, open_run
from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import cache_states, run_pair
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.records import Run, RunRecord
from pkv_interp.stats import Estimate, mean
from pkv_interp.stats.recovery import recovery
from pkv_interp.tasks import FAMILIES, Case, field_case, polarity_case
from pkv_interp.training import chat
from pkv_interp.training.evaluation import answer, chat_loss, probes
from pkv_interp.training.schedule import Stage
from pkv_interp.training.tokens import TokenSequence, encode_chat
from pkv_interp.training.trainer import TrainSettings, add_lora, snapshot_path, train, write_adapter


class TrainGateSettings(Settings):
    """Settings of this experiment; configs/train_gate.yaml says what each means."""

    work_dir: Path
    adapter_dir: Path
    stages: tuple[Stage, ...]
    rank: int
    snapshot_every: int
    lengths: tuple[int, ...]
    instances: int
    mechanism_instances: int
    bootstrap_draws: Draws

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)


def replay_text(loaded: LoadedModel, directory: Path) -> tuple[list[TokenSequence], list[TokenSequence]]:
    """Chats to replay and held-out chats, sampled once from the base model and kept."""
    path = directory / "replay.json"
    if not path.exists():
        parts = [
            [
                vars(c)
                for c in chat.sample_replies(
                    loaded.model, loaded.tokenizer, chat.prompts(held), seed=int(held)
                )
            ]
            for held in (False, True)
        ]
        directory.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_text(json.dumps(parts))
        os.replace(part, path)
    train_part, held_part = (
        [encode_chat(chat.Chat(**c), loaded.tokenizer) for c in part] for part in json.loads(path.read_text())
    )
    return train_part, held_part


def fit(
    settings: TrainGateSettings, console: Console
) -> tuple[list[dict[str, float]], float, list[TokenSequence]]:
    """Train, or finish training; returns history, the base model's held-out chat loss and those chats."""
    base = load(settings.model)
    replay, held = replay_text(base, settings.work_dir)
    before = chat_loss(base.model, base.tokenizer, held)
    options = TrainSettings(
        stages=settings.stages,
        rank=settings.rank,
        snapshot_every=settings.snapshot_every,
        base=settings.model.name,
        seed=settings.seed,
    )
    model = add_lora(base.model, options)
    with Progress(console=console) as bar:
        task = bar.add_task("training", total=options.steps)

        def progress(step: int, values: dict[str, float]) -> None:
            bar.update(task, completed=step + 1, description=f"training, loss {values['loss']:.2f}")

        history = train(model, base.tokenizer, replay, options, settings.work_dir, progress)
    write_adapter(model, options, settings.adapter_dir)
    return history, before, held


def with_adapter(settings: TrainGateSettings, directory: Path) -> LoadedModel:
    """The base model with an adapter merged."""
    return load(settings.model.model_copy(update={"adapter": str(directory.resolve())}))


def mechanism_cases(settings: TrainGateSettings, tokenizer: Any) -> list[Case]:
    """One field pair and one polarity pair per instance and family."""
    return [
        make(family, index, tokenizer, seed=settings.seed)
        for family in FAMILIES
        for index in range(settings.mechanism_instances)
        for make in (field_case, polarity_case)
    ]


def mechanism(loaded: LoadedModel, settings: TrainGateSettings) -> dict[str, Any]:
    """Cache states of field and polarity pairs: margins by arm, one entry a case."""
    engine = Engine(loaded, settings.memory_budget_mb)
    found = []
    for case in mechanism_cases(settings, loaded.tokenizer):
        pair = run_pair(engine, case, ())
        states = cache_states(engine, pair)
        found.append(
            {
                "family": case.family,
                "changed": case.changed,
                "clean": pair.clean_margin,
                "corrupt": pair.corrupt_margin,
                "only": states[f"{case.changed}_only"],
                "notes": states["notes_only"],
            }
        )
    return {"cases": found}


def by_step(run: Run, settings: TrainGateSettings, floor: float) -> None:
    """The table of accuracy and mechanism against training step: does breadth weaken the mechanism?"""
    lines = []
    steps = sorted(
        {*range(settings.snapshot_every, settings.steps + 1, settings.snapshot_every), settings.steps}
    )
    for step in steps:
        directory = snapshot_path(settings.work_dir, step)
        cases = run.chunk(
            f"mechanism/{step}",
            lambda directory=directory: mechanism(with_adapter(settings, directory), settings),
        )["cases"]
        right = np.mean([(c["clean"] > 0, c["corrupt"] < 0) for c in cases])
        for changed in ("field", "trigger"):
            part = [c for c in cases if c["changed"] == changed]
            for arm, name in (("only", f"{changed}_only"), ("notes", f"{changed}_notes_only")):
                estimate = recovery(
                    [c[arm] for c in part],
                    [c["clean"] for c in part],
                    [c["corrupt"] for c in part],
                    [c["family"] for c in part],
                    noise_floor=floor,
                    seed=settings.seed,
                    draws=settings.bootstrap_draws,
                ).estimate
                lines.append({"step": step, "arm": name, "accuracy": float(right), **estimate.model_dump()})
                if step == settings.steps:
                    run.headline[name] = estimate
    run.tables["mechanism_by_step"] = lines


def accuracies(run: Run, loaded: LoadedModel, settings: TrainGateSettings) -> None:
    """Accuracy by condition and side, one row a prompt."""
    found = probes(
        FAMILIES, loaded.tokenizer, seed=settings.seed, lengths=settings.lengths, instances=settings.instances
    )
    answers = run.chunk("answers", lambda: [list(a) for a in answer(loaded.model, loaded.tokenizer, found)])
    lines = []
    for probe, (margin, top) in zip(found, answers, strict=True):
        run.rows.append(
            {
                "family": probe.family,
                "split": "held_out",
                "instance": probe.instance,
                "wording": probe.wording,
                "arm": probe.condition,
                "clean": margin,
                "extra": {
                    "right": margin > 0,
                    "top_token_right": int(top) == probe.action_ids[0],
                    "match": probe.match,
                    "tokens": len(probe.prompt),
                },
            }
        )

    def accuracy(rows: list[dict[str, Any]]) -> Estimate:
        return mean(
            [r["extra"]["right"] for r in rows],
            [r["family"] for r in rows],
            seed=settings.seed,
            draws=settings.bootstrap_draws,
            bounds=(0.0, 1.0),
        )

    rows: list[dict[str, Any]] = list(run.rows)  # type: ignore[arg-type]
    for condition in dict.fromkeys(p.condition for p in found):
        part = [r for r in rows if r["arm"] == condition]
        for side in (True, False):
            chosen = [r for r in part if r["extra"]["match"] is side]
            lines.append(
                {
                    "condition": condition,
                    "side": "match" if side else "mismatch",
                    "tokens": float(np.mean([r["extra"]["tokens"] for r in chosen])),
                    **accuracy(chosen).model_dump(),
                }
            )
    run.tables["accuracy"] = lines
    groups = {
        "accuracy": "length-",
        "accuracy_field_late": "field-late",
        "accuracy_updates": "update-",
        "accuracy_unrelated_update": "unrelated",
        "accuracy_no_template": "no-template",
    }
    for name, prefix in groups.items():
        run.headline[name] = accuracy([r for r in rows if r["arm"].startswith(prefix)])


def train_gate(settings: TrainGateSettings) -> RunRecord:
    """Train, judge, record. Thresholds are reported as reached or missed; they do not stop the record."""
    console = Console(stderr=True)
    with open_run("train_gate", settings, frozenset({"work_dir", "adapter_dir"})) as run:
        if not run.done:
            history, before, held = fit(settings, console)
            loaded = with_adapter(settings, settings.adapter_dir)
            run.set_model(loaded.info.model_dump(mode="json"))
            cases = mechanism_cases(settings, loaded.tokenizer)
            floor = gather_controls(run, Engine(loaded, settings.memory_budget_mb), cases[:4])
            accuracies(run, loaded, settings)
            by_step(run, settings, floor)
            after = chat_loss(loaded.model, loaded.tokenizer, held)
            run.tables["chat_loss"] = [
                {"base": before, "adapted": after, "ratio": after / before, "n_chats": len(held)}
            ]
            run.tables["history"] = [{"step": i + 1, **values} for i, values in enumerate(history)]
    for name, estimate in run.record.headline.items():
        console.print(f"{name:28s} {estimate}")
    console.print(f"chat loss adapted / base: {run.record.tables['chat_loss'][0]['ratio']:.3f}")
    return run.record


main = entry("train_gate", TrainGateSettings)(train_gate)

if __name__ == "__main__":
    main()
