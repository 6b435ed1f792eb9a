"""Other libraries and growth: in the small run's record, and from made-up times to figures that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from experiments.bench.experiment import EXPERIMENT
from experiments.bench.figures import FIGURES
from experiments.bench.growth import Cost, Costs, GrowthResults
from experiments.bench.growth_report import growth_report
from experiments.bench.measure import Measured
from experiments.bench.peer_report import peer_report
from experiments.bench.peers import PeerResults, RouteTime, WorkTimes
from experiments.bench.routes import OURS, PeerTool
from experiments.bench.settings import PARTS, BenchSettings
from experiments.bench.tables import PeerRatio, PeerTime, StageExponent
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord, load_records
from tests import runs
from tests.experiments.configs import compose

SWEEPS = ("head_sweep", "position_sweep", "grid", "residual_grid", "attribution", "integrated_attribution")


@pytest.fixture(scope="module")
def record(bench_results: Path) -> RunRecord:
    (found,) = load_records(bench_results)
    return found


def lines(record: RunRecord, name: str) -> list[dict[str, Any]]:
    return list(record.tables[name])


def test_every_library_is_told_of_and_every_sweep_is_compared(record: RunRecord) -> None:
    tools = {line["route"]: line for line in lines(record, "peer_tools")}
    assert {"transformer_lens", "nnsight", "nnsight_invokes", "pyvene"} <= set(tools)
    for name, line in tools.items():
        if line["absent"] is not None:
            assert any(f"not compared with {name}: not loadable: " in remark for remark in record.remarks)
        else:
            assert line["version"]
    controls = {control.name: control for control in record.controls}
    for sweep in SWEEPS:
        control = controls[f"peers_agree_{sweep}"]
        assert control.value <= control.tolerance == pytest.approx(1e-4)
    over = {line["work"]: set() for line in lines(record, "peer_times")}
    for line in lines(record, "peer_times"):
        over[line["work"]].add(line["route"])
    assert tuple(over) == SWEEPS
    assert all(OURS in routes and len(routes) > 2 for routes in over.values())
    # Columns of one decision alone cannot be patched in a run of the whole prompt.
    assert all("_cached" in route for route in over["grid"] - {OURS})
    assert not any("_cached" in route for route in over["residual_grid"])


def test_samples_are_scaled_to_the_whole_sweep(record: RunRecord) -> None:
    for line in lines(record, "peer_times"):
        assert line["rows"] <= line["cells"]
        assert line["all_seconds"] == pytest.approx(line["sweep_seconds"] * line["cells"] / line["rows"])
        assert line["difference"] <= 1e-4
    ours = [line["rows"] for line in lines(record, "peer_times") if line["route"] == OURS]
    assert max(ours) == 20


def test_growth_has_every_stage_at_every_size(record: RunRecord) -> None:
    grown = lines(record, "growth")
    assert {line["axis"] for line in grown} == {"tokens", "cases", "layers x heads"}
    by_tokens = [line for line in grown if line["axis"] == "tokens"]
    assert {line["experiment"] for line in by_tokens} == {"circuit", "patching", "editing"}
    for experiment, stage in {(line["experiment"], line["stage"]) for line in by_tokens}:
        mine = [x for x in by_tokens if (x["experiment"], x["stage"]) == (experiment, stage)]
        assert len({x["size"] for x in mine}) == len(mine) == 2
        assert mine[1]["operations"] > mine[0]["operations"] > 0 or stage == "field_only"
    assert {"circuit_exponent", "patching_exponent", "editing_exponent"} <= set(record.headline)


def test_both_figures_are_drawn(record: RunRecord) -> None:
    bars, curves = (FIGURES[name](record) for name in ("peers", "growth"))
    drawn, told = ([trace for trace in figure.to_dict()["data"]] for figure in (bars, curves))
    assert len(drawn) == len({x["route"] for x in lines(record, "peer_ratios")})
    assert sum(bool(trace["showlegend"]) for trace in told) == 3


def time(
    route: str, repeat: int, seconds: float, rows: int, opened: float = 0.0, mb: float = 10.0
) -> RouteTime:
    return RouteTime(route, repeat, opened > 0, opened, rows, seconds, mb, 1e-6)


def test_ratios_of_made_up_times() -> None:
    times = [
        time(OURS, 0, 1.0, 100, opened=1.0, mb=20.0),
        time("a", 0, 40.0, 10, mb=40.0),  # 400 s for all, whole prompts
        time("b", 0, 0.5, 10, opened=3.0, mb=10.0),  # 5 s for all
        time(OURS, 1, 2.0, 100, opened=1.0, mb=20.0),
        time("a", 1, 20.0, 10, mb=40.0),
        time("b", 1, 2.0, 10, opened=3.0, mb=10.0),
    ]
    tools = [PeerTool("a", "a", "1", None), PeerTool("c", "c", None, "gone")]
    headlines, tables = peer_report(PeerResults(tools, {"head_sweep": WorkTimes(100, 9, 1.0, times)}))
    value = {headline.name: headline.estimate for headline in headlines}
    assert value["peer_head_sweep"].value == pytest.approx(math.sqrt(5 * 10))
    assert value["peer_head_sweep_end_to_end"].value == pytest.approx(math.sqrt(8 / 2 * 23 / 3))
    assert value["peer_head_sweep_memory"].value == pytest.approx(0.5)
    assert value["peer_head_sweep_memory"].ci_low is None
    assert value["peer_head_sweep_whole_prompt"].value == pytest.approx(math.sqrt(400 / 2 * 200 / 3))
    fastest = {(x.route, x.ratio) for x in tables if isinstance(x, PeerRatio) and x.fastest}
    assert fastest == {("b", "sweep"), ("b", "end_to_end"), ("b", "memory")}
    scaled = [x.all_seconds for x in tables if isinstance(x, PeerTime) and x.route == "b"]
    assert scaled == pytest.approx([5.0, 20.0])


def test_the_fastest_peer_is_the_one_whose_stated_ratio_is_least() -> None:
    """By the median the one with a slow repeat would be it, and state a larger ratio than another."""
    costs = {OURS: (1.0, 1.0, 1.0), "steady": (11.0, 11.0, 11.0), "once slow": (10.0, 10.0, 40.0)}
    times = [
        time(route, i, took, 10, opened=1.0)
        for i in range(3)
        for route, took in ((r, costs[r][i]) for r in costs)
    ]
    headlines, tables = peer_report(PeerResults([], {"grid": WorkTimes(10, 9, 1.0, times)}))
    stated = {headline.name: headline.estimate.value for headline in headlines}
    ratios = [x for x in tables if isinstance(x, PeerRatio) and x.ratio == "sweep"]
    assert stated["peer_grid"] == pytest.approx(11.0) == min(x.value for x in ratios)
    assert [x.route for x in ratios if x.fastest] == ["steady"]


def test_exponents_of_made_up_costs() -> None:
    sizes = (100, 200, 400)
    made = [Cost("circuit", "sites", n, 1e-4 * n**1.5, 0.1 * n, 7.0 * n**2) for n in sizes]
    made += [Cost("circuit", "writers", n, 2e-4 * n**1.5, 0.5, 14.0 * n**2) for n in sizes]
    made += [Cost("circuit", "only_small", 100, 5.0, 900.0, 1.0)]
    headlines, tables = growth_report(GrowthResults(Costs(made), Costs([]), Costs([])))
    value = {headline.name: headline.estimate.value for headline in headlines}
    assert value == {
        "circuit_exponent": pytest.approx(1.5),
        "circuit_exponent_work": pytest.approx(0.75),
    }
    fits = {(x.stage, x.cost): x for x in tables if isinstance(x, StageExponent)}
    assert fits["all", "peak_mb"].value == pytest.approx(1.0)
    assert fits["all", "per_work"].last == pytest.approx(0.75)
    # Under a MiB nothing is fitted, and neither is one size.
    assert ("writers", "peak_mb") not in fits
    assert not any(stage == "only_small" for stage, _ in fits)


@pytest.mark.parametrize(
    ("override", "line"),
    [("parts=[]", "names something twice"), ("parts=[peers,peers]", "twice"), ("parts=[pears]", "peers")],
)
def test_parts_that_make_no_sense(override: str, line: str) -> None:
    with pytest.raises(PkvError, match=line):
        compose("bench", *runs.BENCH, override)


def test_a_part_can_be_left_out(tmp_path: Path) -> None:
    settings = compose("bench", *runs.BENCH, "parts=[edits]", "verify=none", f"results_dir={tmp_path}")
    assert isinstance(settings, BenchSettings)
    found = EXPERIMENT.run(settings)
    assert "erratum_exponent" in found.headline
    assert not {"speed", "peer_times", "growth"} & {name for name, rows in found.tables.items() if rows}
    assert set(vars(Measured()).values()) == {None}
    assert len(PARTS) == 8
