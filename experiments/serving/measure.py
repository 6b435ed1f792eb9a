"""What the serving experiment measures: answers in calm, capacity, load, faults, and single updates."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.serving.cases import Prepared, Preparer, ServedScene, build_scenes
from experiments.serving.checks import (
    allowed_error,
    check_answers,
    check_faults,
    check_runs,
    check_updates,
)
from experiments.serving.faults import FaultFound, Trial, copied, tried, try_fault
from experiments.serving.latency import (
    AFTER,
    LengthCase,
    Updates,
    lengths_within,
    scene_within,
    update_at,
)
from experiments.serving.load import Cell, LoadRun, run_cell
from experiments.serving.rig import ROOM, Rig, Sizes, Yard, check_engine
from experiments.serving.scored import Served, served
from experiments.serving.settings import ERRATUM, SPLICE, ServingSettings
from pkv_interp.editing import Decision
from pkv_interp.measure.edit_ranking import AttentionScores, learn_attention, score_attention
from pkv_interp.measure.edit_scenes import SceneSource
from pkv_interp.run.stage import Stage

if TYPE_CHECKING:
    from pkv_interp.run.session import Session


@dataclass(frozen=True)
class Side:
    """What the full prefill decides on one value: margin towards the right action, in logits."""

    margin: float
    top_token_right: bool


@dataclass(frozen=True)
class SceneFound:
    """One change, each arm asked once with nothing else going on.

    Attributes:
        family, split, instance, wording: of the change.
        matches: the new value is the rule's trigger.
        tokens: of the prompt, by arm.
        old, new: what the model decides on either value, here.
        arms: what the server answered.
    """

    family: str
    split: str
    instance: str
    wording: str
    matches: bool
    tokens: dict[str, int]
    old: Side
    new: Side
    arms: dict[str, Served]


@dataclass(frozen=True)
class Measured:
    """All that was measured.

    Attributes:
        scenes: in the order of their numbers.
        capacity: runs with as many requests at once as there are clients.
        load: runs under Poisson arrivals.
        faults: by name.
        updates: by length and repeat.
    """

    scenes: list[SceneFound]
    capacity: Stage[LoadRun]
    load: Stage[LoadRun]
    faults: Stage[FaultFound]
    updates: Stage[Updates]


def measure(session: Session[ServingSettings]) -> Measured:
    """Serve every arm, in calm and under load, with faults and by length."""
    settings = session.settings
    check_engine(settings)
    # A line for every request, and one for every file, would hide the run's own.
    for name in ("httpx", "gguf"):
        logging.getLogger(name).setLevel(logging.WARNING)
    source = SceneSource.of(settings, session.tokenizer)
    source = replace(source, families=tuple(settings.world.choose(settings.served)))
    scenes = build_scenes(source, settings.instances, settings.n_fillers)
    with tempfile.TemporaryDirectory(prefix="pkv-serving-") as folder:
        yard = Yard(settings, session.loaded, Path(folder))
        preparer = Preparer(session.loaded, source, settings, _attention(session, source), yard.caches)
        for repeat in range(settings.latency_repeats):
            # A length that no prompt has is refused now, and not at the end.
            scene_within(preparer, LengthCase(settings.lengths[0], repeat))
        kept: dict[str, Prepared] = {}

        def prepared(scene: ServedScene) -> Prepared:
            # Of a run that goes on after a kill, what was measured is kept and what is served is made anew.
            if scene.instance not in kept:
                kept[scene.instance] = preparer.prepare(scene)
            return kept[scene.instance]

        found, capacity, load = _serve(session, yard, scenes, prepared)
        faults = _faults(session, yard, scenes[: settings.fault_scenes], prepared)
        updates = _updates(session, yard, preparer)
    return Measured(found, capacity, load, faults, updates)


def _attention(session: Session[ServingSettings], source: SceneSource) -> dict[str, dict[str, float]]:
    """The attention by which positions are chosen, of prompts that are not served."""
    if not any("@" in method for method in session.settings.injected) or SPLICE not in session.settings.arms:
        return {}
    ranking = source.ranking_cases(source.style(session.settings.n_fillers))
    scores = session.each(
        "ranking", ranking, lambda case: score_attention(session.engine, case), AttentionScores
    )
    return learn_attention(ranking, scores.of(ranking))


def _serve(
    session: Session[ServingSettings],
    yard: Yard,
    scenes: Sequence[ServedScene],
    prepared: Callable[[ServedScene], Prepared],
) -> tuple[list[SceneFound], Stage[LoadRun], Stage[LoadRun]]:
    """Answers in calm, capacity and load, on one server that holds every prompt."""
    settings = session.settings
    context = max(len(ids) for one in scenes for ids in _ids(prepared(one))) + ROOM
    with yard.server("load", Sizes(context, len(scenes))) as rig:
        rig.check_counters()
        found = session.each("scenes", scenes, lambda one: _in_calm(rig, prepared(one)), SceneFound)
        check_answers(session, [one for scene in found.all() for one in scene.arms.values()])
        everything = [prepared(one) for one in scenes]
        cells = [Cell(arm, run) for run in range(settings.runs) for arm in settings.arms]
        capacity = session.each("capacity", cells, lambda cell: run_cell(rig, everything, cell), LoadRun)
        rates = {
            arm: float(np.mean([capacity.at(cell).throughput for cell in cells if cell.arm == arm]))
            for arm in settings.arms
        }
        loaded = [replace(cell, load=load) for load in settings.loads for cell in cells]
        load = session.each(
            "load", loaded, lambda cell: run_cell(rig, everything, cell, rates[cell.arm]), LoadRun
        )
    check_runs(session, [*capacity.all(), *load.all()])
    return found.of(scenes), capacity, load


def _ids(one: Prepared) -> list[tuple[int, ...]]:
    return [*one.warm.values(), *(asked.prompt.ids for asked in one.asks.values())]


def _in_calm(rig: Rig, one: Prepared) -> SceneFound:
    async def run() -> dict[str, Served]:
        out: dict[str, Served] = {}
        async with rig.client() as client:
            for arm, asked in one.asks.items():
                salt = f"calm {one.scene.instance} {arm}"
                await rig.warm(client, [one], arm, salt)
                out[arm] = served(await client.complete(rig.request(asked, salt)), one, arm)
        return out

    task = one.scene.early.task
    return SceneFound(
        family=task.family,
        split=task.split,
        instance=one.scene.instance,
        wording=task.wording,
        matches=task.matches,
        tokens={arm: len(asked.prompt.ids) for arm, asked in one.asks.items()},
        old=_side(one.old, task.old_action),
        new=_side(one.new, task.new_action),
        arms=asyncio.run(run()),
    )


def _side(decision: Decision, right: str) -> Side:
    return Side(decision.margin, decision.likeliest_option == right)


def _faults(
    session: Session[ServingSettings],
    yard: Yard,
    scenes: Sequence[ServedScene],
    prepared: Callable[[ServedScene], Prepared],
) -> Stage[FaultFound]:
    """Each fault on a server of its own that holds half of the prompts."""
    settings, injects = session.settings, SPLICE in session.settings.arms
    arms = [ERRATUM, settings.injected[0]] if injects else [ERRATUM]
    chosen = tried(settings.url is None, injects)

    def one(name: str) -> FaultFound:
        everything = [prepared(scene) for scene in scenes]
        context = max(len(ids) for scene in everything for ids in _ids(scene)) + ROOM
        caches = yard.caches
        if settings.url is None:
            caches = copied(yard.caches, everything, yard.folder / f"caches {name}")
        with yard.server(name, Sizes(context, len(scenes) // 2, tight=True), caches) as rig:
            return try_fault(name, Trial(rig, everything, arms, allowed_error(session)))

    found = session.each("faults", chosen, lambda fault: one(fault.name), FaultFound)
    if settings.url is not None:
        session.run.remarks.append("only a client that leaves was tried: the server is somebody else's")
    check_faults(session, found.all())
    return found


def _updates(session: Session[ServingSettings], yard: Yard, preparer: Preparer) -> Stage[Updates]:
    """One update at a time, by length."""
    settings = session.settings
    most = int(session.loaded.model.config.get_text_config().max_position_embeddings)
    lengths = lengths_within(settings.lengths, most)
    if len(lengths) < len(settings.lengths):
        left = ", ".join(str(one) for one in settings.lengths if one not in lengths)
        session.run.remarks.append(f"no updates at {left} tokens: the model has {most} positions")
    cases = [LengthCase(n, repeat) for n in lengths for repeat in range(settings.latency_repeats)]
    if not cases:
        return Stage({})
    with yard.server("updates", Sizes(max(lengths) + AFTER, 1)) as rig:
        found = session.each("updates", cases, lambda case: update_at(preparer, rig, case), Updates)
    check_updates(session, found.all())
    return found
