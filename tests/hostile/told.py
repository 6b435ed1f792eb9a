"""Controls of what is told beside the model: caches read again or opened, outputs from weights and values."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from experiments.bench.peers import Samples, time_work
from experiments.bench.routes import EngineRoute, peer_routes, works
from experiments.bench.writes import time_writes
from experiments.composing.checks import measure_traces
from pkv_interp.cache.compute import Runner
from pkv_interp.engine import Engine
from pkv_interp.measure.crossing import read_by
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.measure.last_token import KeptQuestion
from pkv_interp.measure.margin_model import CAPTURE, outputs_over
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.blocks import block_span
from pkv_interp.reference.whole_layers import WholeLayers
from pkv_interp.tasks import Case
from tests.hostile import sabotage as s

#: By sweep of the benchmark: what breaks the engine's, and the sweep and route that it is held against.
PEERS: dict[str, tuple[Any, ...]] = {
    "head_sweep": (s.swapped_rows, "head_sweep"),
    "position_sweep": (s.swapped_rows, "position_sweep"),
    "grid": (s.swapped_rows, "grid"),
    "residual_grid": (s.swapped_suffixes, "residual_grid", "nnsight"),
    "attribution": (s.swapped_heads, "attribution"),
    "integrated_attribution": (s.swapped_heads_on_the_way, "integrated_attribution"),
}


def own_cache(engine: Engine, case: Case) -> float:
    """Largest difference of logits when a model reads its own cache again, as origin's control has it."""
    found = run_pair(engine, case, ())
    again = read_by(engine, found, engine)
    return float((again.clean.logits - found.clean.logits).abs().max())


def told_outputs(engine: Engine, case: Case) -> float:
    """Largest difference of heads' outputs, as anatomy's control has it."""
    found = run_pair(engine, case, CAPTURE)
    told = outputs_over(engine.spec, found.corrupt, found.clean)
    return float((told - found.corrupt.z).abs().max() / found.corrupt.z.abs().max())


def write_twins(engine: Engine, pair: PairRun) -> float:
    """Largest difference between a write sweep and its twins, as bench's control has it."""
    engines = engine, WholeLayers(engine.loaded)
    return time_writes(engines, pair, pair.notes[2:9:3], 4, 1).difference


def peers(engine: Engine, case: Case, name: str, route: str = "nnsight_cached") -> float:
    """Largest difference between a sweep and nnsight's, as bench's control has it."""
    found = run_pair(engine, case, {"prefill"})
    (work,) = (one for one in works(found, engine) if one.name == name)
    routes = [one for one in peer_routes(engine.loaded, 1, 1)[0] if one.name == route]
    assert routes
    return time_work(EngineRoute(engine), routes, found, work, Samples(8, 2, 4, 2), 1).difference


def spliced_scene(case: Case) -> Any:
    """One prompt whose policy is a chunk."""
    return SimpleNamespace(sides=[("match", case.clean)], spans=(block_span(case.clean, "policy"),))


def splice_traces(engine: Engine, case: Case) -> float:
    """Largest difference of logits of traced decisions on spliced caches, as composing's control has it."""
    loaded = engine.loaded
    found = measure_traces(engine, Runner.of(loaded.model), loaded.tokenizer, [spliced_scene(case)])
    assert found.caches == 3
    return found.difference


def last_token(loaded: LoadedModel, scene: EditScene) -> float:
    """How far the last token alone and the question rerun lie apart on an unedited cache, as in editing."""
    base = open_context(loaded, scene).prefill()
    alone = KeptQuestion.of(base).decide(base, scene.actions)
    return float((alone.logits - base.decide(scene.actions).logits).abs().max())
