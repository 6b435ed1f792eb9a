"""From sweeps by several routes to ratios: the cost of other libraries over that of the engine."""

from collections.abc import Mapping, Sequence

from experiments.bench.peers import PeerResults, RouteTime, WorkTimes
from experiments.bench.routes import OURS
from experiments.bench.tables import PeerRatio, PeerTime, PeerUse
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import NOT_NEGATIVE, Headline
from pkv_interp.stats import Estimate
from pkv_interp.stats.repeats import ratio_over_repeats

#: Kinds of ratios, and what each is.
SWEEP, END_TO_END, MEMORY = "sweep", "end_to_end", "memory"
_WHAT = {
    SWEEP: "fastest peer over packed, prompts prefilled",
    END_TO_END: "fastest peer over packed, prefill included",
    MEMORY: "peak memory, fastest peer over packed",
}
#: A process that takes less than this has taken what the system rounds to nothing.
_LEAST_MB = 1.0


def peer_report(found: PeerResults) -> tuple[list[Headline], list[TableRow]]:
    """Headlines and tables of the part."""
    lines = [line for name, times in found.works.items() for line in _times(name, times)]
    ratios = [line for name in found.works for line in _ratios([x for x in lines if x.work == name])]
    uses = [PeerUse(tool.name, tool.tool, tool.version, tool.absent) for tool in found.tools]
    headlines = [
        Headline(
            f"peer_{line.work}" + ("" if line.ratio == SWEEP else f"_{line.ratio}"),
            line.estimate,
            _WHAT[line.ratio],
            needs_gate=False,
            bounds=NOT_NEGATIVE,
        )
        for line in ratios
        if line.fastest
    ]
    return [*headlines, *_whole_prompt(ratios)], [*uses, *lines, *ratios]


def _whole_prompt(ratios: Sequence[PeerRatio]) -> list[Headline]:
    """The head sweep against the fastest peer that runs the prompt for every head, as documented."""
    mine = [x for x in ratios if (x.work, x.ratio) == ("head_sweep", END_TO_END) and not x.cached]
    if not mine:
        return []
    line = min(mine, key=lambda x: x.value)
    what = "fastest peer that runs whole prompts over packed, prefill included"
    name = "peer_head_sweep_whole_prompt"
    return [Headline(name, line.estimate, what, needs_gate=False, bounds=NOT_NEGATIVE)]


def _times(name: str, times: WorkTimes) -> list[PeerTime]:
    return [
        PeerTime(
            work=name,
            route=time.route,
            repeat=time.repeat,
            cached=time.cached,
            tokens=times.tokens,
            cells=times.cells,
            rows=time.rows,
            open_seconds=time.open_seconds,
            sweep_seconds=time.sweep_seconds,
            all_seconds=_all_seconds(time, times.cells),
            peak_mb=time.peak_mb,
            difference=time.difference,
        )
        for time in times.times
    ]


def _all_seconds(time: RouteTime, cells: int) -> float:
    return time.sweep_seconds * cells / time.rows


def _ratios(lines: Sequence[PeerTime]) -> list[PeerRatio]:
    """Every peer of one work against the engine, repeat by repeat."""
    ours = {line.repeat: line for line in lines if line.route == OURS}
    peers = {line.route: line for line in lines if line.route != OURS}

    def over_ours(route: str, kind: str) -> Estimate:
        mine = [line for line in lines if line.route == route]
        counted = mine[:1] if kind == MEMORY else mine  # memory is that of the first repeat
        return ratio_over_repeats([_cost(x, kind) / _cost(ours[x.repeat], kind) for x in counted])

    found = {kind: {route: over_ours(route, kind) for route in peers} for kind in (SWEEP, END_TO_END, MEMORY)}
    out = []
    for kind, estimates in found.items():
        fastest = _fastest(found[END_TO_END if kind == MEMORY else kind])
        out += [
            PeerRatio.of(
                estimate,
                work=peers[route].work,
                route=route,
                cached=peers[route].cached,
                ratio=kind,
                fastest=route == fastest,
            )
            for route, estimate in estimates.items()
        ]
    return out


def _fastest(estimates: Mapping[str, Estimate]) -> str | None:
    """The peer whose own ratio is the least: one chosen by another mean could be beaten in what is stated."""
    return min(estimates, key=lambda route: estimates[route].value, default=None)


def _cost(line: PeerTime, kind: str) -> float:
    if kind == MEMORY:
        return max(line.peak_mb, _LEAST_MB)
    return line.all_seconds + (line.open_seconds if kind == END_TO_END else 0.0)
