"""Started, measured, summarised, failed: the life of a run on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.records import ControlFailure, Run, RunStore, arrays, check, read
from pkv_interp.records.archive import archive_path
from pkv_interp.records.code import Code
from pkv_interp.records.run import control
from tests.records.examples import INFO, Measured, fill, filled, finished, measure, open_run


@dataclass(frozen=True)
class Part:
    """A made-up part."""

    i: int


def once(run: Run, name: str, i: int = 0) -> Part:
    return run.stages.once(name, lambda: Part(i), Part, lambda: 0.0).value


def carry_out(run: Run, body: Callable[[], None]) -> None:
    with run:
        body()


def test_started_is_written_at_once_and_is_valid(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        assert read(run.path).status == "started"
        assert check(tmp_path) == (1, [])
        fill(run)
    assert read(run.path).status == "success"
    assert run.record == read(run.path)
    assert run.path == tmp_path / "probe" / f"tiny-llama-{run.keys.measurement[:12]}.json"


def test_same_run_is_skipped_and_returned(tmp_path: Path) -> None:
    path = finished(tmp_path)
    before = path.read_bytes()
    with open_run(tmp_path, config={"results_dir": "moved"}) as run:
        assert run.done
        assert run.record == read(path)
    assert path.read_bytes() == before
    with open_run(tmp_path, seed=1) as other:
        assert not other.done
        fill(other)
    assert other.path != path


def test_another_summary_of_the_same_measurements_measures_nothing(tmp_path: Path) -> None:
    path = finished(tmp_path)
    measured = archive_path(path).read_bytes()
    with open_run(tmp_path, summary=Code(("a.summary",), "e" * 64)) as run:
        assert not run.done
        found = run.archive(Measured)
        assert found.measured.margins.tolist() == [0.0, 1.0, 2.0]
        assert found.head.model == INFO
        run.succeed(filled(), {})
    assert run.path == path
    assert archive_path(path).read_bytes() == measured
    keys = read(path).keys
    assert keys is not None
    assert keys.summary_code == "e" * 64


def test_record_is_refused_before_the_end(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        with pytest.raises(PkvError, match="no record yet"):
            _ = run.record
        fill(run)


def test_arrays_come_back(tmp_path: Path) -> None:
    found = arrays(read(finished(tmp_path)))
    assert torch.equal(found["effects"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["grid"], torch.eye(2, dtype=torch.float64))


def test_success_without_its_arrays_is_summarised_again(tmp_path: Path) -> None:
    path = finished(tmp_path)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(PkvError, match="cannot be read"):
        arrays(read(path))
    with open_run(tmp_path) as run:
        assert not run.done
        fill(run)
    assert check(tmp_path) == (1, [])


def test_parts_are_kept_until_success(tmp_path: Path) -> None:
    def attempt(stop: bool) -> None:
        with open_run(tmp_path) as run:
            once(run, "grid/one")
            if stop:
                raise ValueError("stopped\nhere")
            fill(run)

    with pytest.raises(ValueError, match="stopped"):
        attempt(stop=True)
    (path,) = (tmp_path / "probe").glob("*.json")
    assert (read(path).status, read(path).error) == ("error", "ValueError: stopped here")
    assert list((tmp_path / ".partial").iterdir()) != []
    attempt(stop=False)
    assert not (tmp_path / ".partial").exists()
    assert read(path).status == "success"


def test_failed_control_ends_the_run_as_an_error(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.note("self_patch", 0.5, 0.0, 1e-6, "row 3")
        run.check_controls()

    with pytest.raises(
        ControlFailure, match=r"'self_patch' measured 0\.5, expected 0 within 1e-06 \(row 3\)"
    ):
        carry_out(run, body)
    found = read(run.path)
    assert found.status == "error"
    assert "self_patch" in (found.error or "")
    assert [control.passed for control in found.controls] == [False]
    assert found.rows == []
    assert check(tmp_path) == (1, [])


def test_failed_control_of_a_summary_keeps_the_measurements(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        measure(run)
        run.succeed(filled([control("parts_sum", 0.5, 0.0, 0.1)]), {})

    with pytest.raises(ControlFailure, match="'parts_sum' measured 0.5"):
        carry_out(run, body)
    assert read(run.path).status == "error"
    assert open_run(tmp_path).archive(Measured).measured.note == "x"


def test_control_that_is_not_a_number_stops_at_once(tmp_path: Path) -> None:
    reached: list[str] = []
    run = open_run(tmp_path)

    def body() -> None:
        run.note("full_patch", float("nan"), 1.0, 0.1)
        reached.append("after")

    with pytest.raises(ControlFailure, match="'full_patch' measured nan"):
        carry_out(run, body)
    assert reached == []
    assert read(run.path).status == "error"


def test_a_failed_summary_says_that_measurements_are_kept_and_it_is_true(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        measure(run)
        good = filled()
        bad = good["rows"][0].model_dump() | {"arm": "another", "patched": float("nan")}
        run.succeed(good | {"rows": [*good["rows"], bad]}, {})

    with pytest.raises(PkvError, match=r"/rows/6/patched: .*finite.*everything that was measured is kept"):
        carry_out(run, body)
    assert read(run.path).status == "error"
    assert "all measurements are kept in" in caplog.text
    assert f"experiments.summarise {run.path}" in caplog.text
    again = open_run(tmp_path)
    assert again.measured is not None
    with again:
        fill(again)
    assert read(run.path).status == "success"


def test_success_needs_the_facts_about_the_model(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        measure(run, info={"dtype": "float32"})
        run.succeed(filled(), {})

    with pytest.raises(PkvError, match="/model/revision"):
        carry_out(run, body)


def test_damaged_record_is_named_with_its_mend(tmp_path: Path) -> None:
    path = finished(tmp_path)
    path.write_text("{")
    with pytest.raises(PkvError, match=r"tiny-llama-.*line 1 column 2.*git checkout"):
        open_run(tmp_path)


def test_measurements_of_another_record_are_refused(tmp_path: Path) -> None:
    path, other = finished(tmp_path), finished(tmp_path, seed=1)
    archive_path(path).write_bytes(archive_path(other).read_bytes()[:-1] + b"x")
    _, problems = check(tmp_path)
    assert [problem.place for problem in problems] == ["/measurements"]


def test_bad_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="no experiment name"):
        open_run(tmp_path, experiment="../x")
    with open_run(tmp_path, model={"name": "../org/model:7b"}) as run:
        fill(run)
    assert run.path.parent == tmp_path / "probe"
    assert check(tmp_path) == (1, [])


def test_seconds_are_those_of_measuring(tmp_path: Path) -> None:
    path = finished(tmp_path)
    assert read(path).seconds == 1.5


def test_the_requested_name_is_kept(tmp_path: Path) -> None:
    assert read(finished(tmp_path)).model["name"] == "tiny-llama"


def test_store_takes_a_string(tmp_path: Path) -> None:
    assert RunStore(str(tmp_path)).results_dir == tmp_path


def test_archives_hold_what_was_measured(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    with run:
        fill(run)
    found = open_run(tmp_path, summary=Code(("b",), "f" * 64)).archive(Measured)
    assert np.array_equal(found.measured.margins, np.arange(3.0))
    assert [c.name for c in found.head.controls] == ["self_patch", "full_patch"]
    assert found.head.noise_floor == {"margin": 2e-5}
