"""The same sweeps by the packed engine and by other libraries: numbers, time and memory.

Every route starts from the corrupt prompt's token ids; the clean prompt's activations are given to all.
What a route does once for the prompt (a prefill, where it reads a cache) and what it does for the patches are
timed apart. Routes that take long run an evenly spread sample of the patches, and the summary scales it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from experiments.bench.grids import spread
from experiments.bench.routes import (
    OURS,
    EngineRoute,
    PeerRoute,
    PeerTool,
    Route,
    Work,
    peer_routes,
    works,
)
from pkv_interp.interventions import ResidualEdit
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.measure.timing import peak_megabytes, seconds
from pkv_interp.tasks import Case
from pkv_interp.tolerances import tolerance_of

if TYPE_CHECKING:
    from experiments.bench.settings import BenchSettings
    from pkv_interp.run.session import Session

#: Cached prefixes that nnsight decodes over in one trace: about where its time per patch stops falling.
IN_ONE_TRACE = 8


@dataclass(frozen=True)
class RouteTime:
    """One route through one sweep, timed once.

    Attributes:
        route: its name.
        repeat: counted from 0.
        cached: whether it reads a cached prefix; else every patch runs the whole prompt.
        open_seconds: of what it does once for the prompt, in the first repeat.
        rows: patches that it ran, evenly spread over the sweep; 1 for attribution.
        sweep_seconds: of these.
        peak_mb: of both together in the first repeat, in MiB over what was held before.
        difference: largest difference to the engine's numbers on the same patches, in logits.
    """

    route: str
    repeat: int
    cached: bool
    open_seconds: float
    rows: int
    sweep_seconds: float
    peak_mb: float
    difference: float


@dataclass(frozen=True)
class WorkTimes:
    """One sweep by every route that can express it.

    Attributes:
        cells: patches of the whole sweep; 1 for attribution.
        tokens: of the prompt.
        spread: largest difference between the engine's numbers on the patches that were compared, in logits.
        times: of all routes and repeats, in the order of running.
    """

    cells: int
    tokens: int
    spread: float
    times: list[RouteTime]

    @property
    def difference(self) -> float:
        """Largest difference between any route and the engine, in logits."""
        return max(time.difference for time in self.times)


@dataclass(frozen=True)
class PeerResults:
    """All sweeps.

    Attributes:
        tools: every route that was asked for, used or not.
        works: sweeps by name.
    """

    tools: list[PeerTool]
    works: dict[str, WorkTimes]


@dataclass(frozen=True)
class Samples:
    """How many patches of a sweep each kind of route runs, at most.

    Attributes:
        ours: the engine, of patches that change no other token's columns.
        reruns: the engine, of patches of the residual stream, which run all later tokens again.
        cached: peers over a cache.
        prompts: peers that run the whole prompt for each.
    """

    ours: int
    reruns: int
    cached: int
    prompts: int


@dataclass
class _Run:
    """One route with the patches that it runs, and the prompt once it is opened."""

    route: Route
    picked: Int[np.ndarray, " rows"]
    base: Any = None
    open_seconds: float = 0.0
    peak_mb: float = 0.0


def measure_peers(session: "Session[BenchSettings]", case: Case) -> PeerResults:
    """Every sweep by every route; the routes must give the engine's numbers."""
    settings, engine = session.settings, session.engine

    def compare() -> PeerResults:
        pair = run_pair(engine, case, {"prefill"})
        routes, tools = peer_routes(engine.loaded, max(2, settings.peer_prompts), IN_ONE_TRACE)
        samples = Samples(
            settings.peer_cells, settings.peer_reruns, settings.peer_sample, settings.peer_prompts
        )
        ours = EngineRoute(engine)
        times = {
            work.name: time_work(ours, routes, pair, work, samples, settings.repeats)
            for work in works(pair, engine)
        }
        return PeerResults(tools, times)

    found = session.once("peers", compare, PeerResults)
    for tool in found.tools:
        if tool.absent is not None:
            session.run.remarks.append(f"not compared with {tool.name}: not loadable: {tool.absent}")
    # A tenth of what logits may differ by, for a model of ordinary size: 1e-4 in float32.
    allowed = tolerance_of(engine.loaded.info.dtype).logits / 10
    for name, times in found.works.items():
        routes = sorted({time.route for time in times.times} - {OURS})
        detail = f"margins or effects in logits, against {', '.join(routes)}"
        session.control(f"peers_agree_{name}", times.difference, 0.0, allowed, detail)
    return found


def time_work(
    ours: EngineRoute, routes: Sequence[PeerRoute], pair: PairRun, work: Work, samples: Samples, repeats: int
) -> WorkTimes:
    """Run every route in turn, ``repeats`` times.

    Args:
        ours: the engine.
        routes: peers; those that cannot express the work are left out.
        pair: its clean prompt run with capture "prefill".
        work: the sweep.
        samples: patches of each kind of route.
        repeats: how often.
    """
    runs, device = _runs(ours, routes, work, samples), pair.corrupt.logits.device
    times: list[RouteTime] = []
    wanted: Float[np.ndarray, "rows values"] = np.empty((0, 0))
    for repeat in range(repeats):
        for run in runs:
            kept: list[tuple[float, Float[np.ndarray, "rows values"] | None]] = []
            peak = peak_megabytes(lambda run=run, kept=kept: kept.append(_once(run, pair, work)), device)
            swept, found = kept[0]
            if found is None:  # a library without gradients
                continue
            if repeat == 0:
                run.peak_mb = peak
            if run.route is ours:
                wanted = found
            same = wanted[np.searchsorted(runs[0].picked, run.picked)] if work.rows else wanted
            times.append(
                RouteTime(
                    route=run.route.name,
                    repeat=repeat,
                    cached=run.route.cached,
                    open_seconds=run.open_seconds,
                    rows=len(run.picked) if work.rows else 1,
                    sweep_seconds=swept,
                    peak_mb=run.peak_mb,
                    difference=float(np.abs(found - same).max()),
                )
            )
    return WorkTimes(len(work.rows) or 1, pair.clean.length, float(np.ptp(wanted)), times)


def _runs(ours: EngineRoute, routes: Sequence[PeerRoute], work: Work, samples: Samples) -> list[_Run]:
    if not work.rows:
        none = np.arange(0)
        return [_Run(ours, none), *(_Run(route, none) for route in routes)]
    reruns = work.kind is ResidualEdit
    mine = spread(len(work.rows), samples.reruns if reruns else samples.ours)
    runs = [_Run(ours, mine)]
    for route in routes:
        if route.takes(work):
            sample = samples.cached if route.cached else samples.prompts
            # A trace of several rows is only timed fairly when it is full.
            runs.append(_Run(route, mine[_spread(len(mine), max(sample, route.batch))]))
    return runs


def _spread(n: int, sample: int) -> Int[np.ndarray, " sample"]:
    """Evenly spread; of one the middle, since the cost of a gradient falls with the layer that it ends at."""
    return np.array([n // 2]) if sample == 1 else spread(n, sample)


def _once(run: _Run, pair: PairRun, work: Work) -> tuple[float, Float[np.ndarray, "rows values"] | None]:
    """Seconds of the patches, and their numbers, a line each; the first time the prompt is opened before."""
    device, route, rows = pair.corrupt.logits.device, run.route, _rows(work, run.picked)
    if run.base is None:
        run.open_seconds, run.base = seconds(lambda: route.open(pair.corrupt.ids, work), device)
        if route.cached and rows:
            # A first use parses and compiles; against a whole prompt that is nothing.
            route.sweep(run.base, rows[:1], pair)

    def sweep() -> Any:
        return route.sweep(run.base, rows, pair) if rows else route.attribute(run.base, pair)

    swept, found = seconds(sweep, device)
    return swept, None if found is None else found.reshape(len(rows) or 1, -1)


def _rows(work: Work, picked: Int[np.ndarray, " rows"]) -> list[Any]:
    return [work.rows[index] for index in picked]
