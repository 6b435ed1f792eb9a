"""Faults on a server in this process: each shows, and what is served wrongly is noticed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from experiments.serving.checks import check_faults
from experiments.serving.faults import FAULTS, FaultFound, Trial, copied, server_killed, tried, try_fault
from experiments.serving.load import Cell, run_cell
from experiments.serving.rig import Rig, check_engine
from pkv_interp.errors import PkvError
from tests.experiments.serving_examples import caches_of, failed, prepared, settings
from tests.serving.fake import FakeServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FakeServer]:
    fake = FakeServer(caches_of(tmp_path / "caches"), holds=2)
    yield fake
    fake.close()


def trial_on(server: FakeServer) -> Trial:
    process: Any = server
    rig = Rig(settings("engine=vllm"), "", server.caches, process)
    return Trial(rig, [prepared(number, server) for number in range(4)], ("erratum", "field_only"), 1e-6)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_shows_and_a_good_server_serves_nothing_wrong(name: str, server: FakeServer) -> None:
    found = try_fault(name, trial_on(server))
    assert found.happened
    assert found.told
    assert (found.wrong, found.unchecked) == (0, 0)
    assert found.answered == found.asked > 0
    assert failed(check_faults, [found]) == set()
    if name == "server_killed":
        assert sum(found.failed.values()) > 0
    if name == "client_leaves":
        assert server.left.is_set()
    if name == "eviction":
        assert found.figures["hit_more"] < found.figures["hit_fits"]
    if name == "caches_removed":
        assert not server.caches.exists()
        assert 0 < found.figures["from_caches"] < found.answered


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_answer_is_noticed(name: str, server: FakeServer) -> None:
    trial = trial_on(server)
    server.lies = True
    found = try_fault(name, trial)
    assert found.wrong > 0
    assert "nothing_wrong_served" in failed(check_faults, [found])


def test_a_server_that_does_not_start_again_ends_the_run(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise PkvError("it did not start: the port is taken", "see its log")

    monkeypatch.setattr(server, "start", fails)
    with pytest.raises(PkvError, match="the port is taken"):
        asyncio.run(asyncio.wait_for(server_killed(trial_on(server)), 60))


def test_an_answer_that_cannot_be_checked_is_no_good_answer(server: FakeServer) -> None:
    server.silent = True
    assert "faults_checked" in failed(check_faults, [try_fault("eviction", trial_on(server))])


def found(**changes: Any) -> FaultFound:
    given: dict[str, Any] = {"asked": 4, "answered": 4, "failed": {}, "in_full": {}, "wrong": 0, "worst": 0.0}
    return FaultFound(**(given | {"unchecked": 0, "happened": True, "told": "made up"} | changes))


def test_each_control_can_fail() -> None:
    assert failed(check_faults, [found(), found()]) == set()
    assert "nothing_wrong_served" in failed(check_faults, [found(), found(wrong=1)])
    assert "faults_checked" in failed(check_faults, [found(), found(unchecked=1)])
    assert "answered_in_the_end" in failed(check_faults, [found(), found(answered=3)])
    assert "faults_happened" in failed(check_faults, [found(happened=False), found()])


def test_what_is_tried_depends_on_whose_server_it_is(server: FakeServer) -> None:
    assert [fault.name for fault in tried(True, True)] == list(FAULTS)
    assert [fault.name for fault in tried(False, True)] == ["client_leaves"]
    assert "caches_removed" not in [fault.name for fault in tried(True, False)]
    rig = Rig(settings("engine=vllm"), server.url, server.caches, None)
    with pytest.raises(PkvError, match="somebody else's is not killed"):
        try_fault("server_killed", Trial(rig, [], (), 0.0))


def test_a_folder_to_be_removed_is_a_copy(server: FakeServer, tmp_path: Path) -> None:
    copy = copied(server.caches, [prepared(0, server)], tmp_path / "copy")
    assert [path.name for path in copy.iterdir()] == [f"{0:064x}.safetensors"]
    assert len(list(server.caches.iterdir())) == 1


def test_a_run_is_counted_twice_and_starts_from_the_same_state(server: FakeServer) -> None:
    server.holds = 100
    trial = trial_on(server)
    for arm, cached in (("erratum", 4), ("full", 3), ("field_only", 4)):
        for load in (None, 0.5):
            run = run_cell(trial.rig, trial.scenes, Cell(arm, 0, load), capacity=400.0)
            assert run.told == run.counters
            assert [one.cached for one in run.requests] == [cached] * 4
            assert all(one.error is not None and one.error < 1e-6 for one in run.requests)
            assert run.rate == (None if load is None else 200.0)
    order = [run_cell(trial.rig, trial.scenes, Cell(arm, 0)).requests for arm in ("full", "erratum")]
    assert [one.scene for one in order[0]] == [one.scene for one in order[1]]
    other = run_cell(trial.rig, trial.scenes, Cell("full", 1, 0.5), capacity=400.0).requests
    assert sorted(one.scene for one in other) == [0, 1, 2, 3]


def test_a_server_without_counters_is_refused_first(server: FakeServer) -> None:
    server.metrics = False
    with pytest.raises(PkvError, match="/metrics lacks"):
        trial_on(server).rig.check_counters()
    with pytest.raises(PkvError, match="/metrics lacks"):
        check_engine(settings("engine=vllm", f"url={server.url}"))
