"""Started, resumed, finished, failed: the life of a run on disk."""

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pkv_interp.records.chunks import ChunkFolder

from pkv_interp import files as writer_module
from pkv_interp.errors import PkvError
from pkv_interp.records import ControlFailure, Interrupted, Row, Run, RunStore, arrays, check, read
from tests.records.examples import INFO, fill, finished, open_run


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
    assert run.path == tmp_path / "probe" / f"tiny-llama-{run.key[:12]}.json"


def test_same_run_is_skipped_and_returned(tmp_path: Path) -> None:
    path = finished(tmp_path)
    before = path.read_bytes()
    with open_run(tmp_path, config={"top_k": [1, 2, 4], "n_instances": 4, "results_dir": "moved"}) as run:
        assert run.done
        assert run.record == read(path)
    assert path.read_bytes() == before
    with open_run(tmp_path, seed=1) as other:
        assert not other.done
        fill(other)
    assert other.path != path


def test_record_is_refused_before_the_end(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        with pytest.raises(PkvError, match="no record yet"):
            _ = run.record
        fill(run)


def test_arrays_come_back(tmp_path: Path) -> None:
    found = arrays(read(finished(tmp_path)))
    assert torch.equal(found["effects"], torch.arange(6.0).reshape(2, 3))
    assert torch.equal(found["grid"], torch.eye(2, dtype=torch.float64))


def test_success_without_its_arrays_is_run_again(tmp_path: Path) -> None:
    path = finished(tmp_path)
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(PkvError, match="cannot be read"):
        arrays(read(path))
    with open_run(tmp_path) as run:
        assert not run.done
        fill(run)
    assert check(tmp_path) == (1, [])


def test_chunks_are_computed_once_and_removed_after_success(tmp_path: Path) -> None:
    calls: list[str] = []

    def compute(name: str) -> dict[str, Any]:
        calls.append(name)
        return {
            "rows": [1, 2.5, None, "x", (3, 4)],
            "z": torch.ones(2, dtype=torch.bfloat16),
            "a": np.arange(3),
        }

    def attempt(stop: bool) -> dict[str, Any]:
        with open_run(tmp_path) as run:
            one = run.chunk("grid/one", lambda: compute("one"))
            if stop:
                raise ValueError("stopped\nhere")
            run.chunk("grid/two", lambda: compute("two"))
            fill(run)
        return one

    with pytest.raises(ValueError, match="stopped"):
        attempt(stop=True)
    (path,) = (tmp_path / "probe").glob("*.json")
    assert (read(path).status, read(path).error) == ("error", "ValueError: stopped here")
    data = attempt(stop=False)
    assert calls == ["one", "two"]
    assert data["rows"] == [1, 2.5, None, "x", [3, 4]]
    assert torch.equal(data["z"], torch.ones(2, dtype=torch.bfloat16))
    assert data["a"].tolist() == [0, 1, 2]
    assert not (tmp_path / ".partial").exists()
    assert read(path).status == "success"


def test_first_and_resumed_chunk_are_the_same(tmp_path: Path) -> None:
    folder = ChunkFolder(tmp_path / "k")
    row = Row(family="f", split="s", instance=1, wording=0, arm="a", clean=1.0)
    shared = torch.randn(3, 4)
    data = {
        "views": [shared[0], shared[1], shared.T],
        "scalar": torch.tensor(2.0),
        "zero_d": np.float32(1.5),
        "np_scalar": np.array(3),
        "empty": torch.empty(0, 2),
        "row": row,
        "nested": {"deep": [[1], []]},
    }
    saved = folder.save("a name/with: odd*characters", data, 0.5)
    loaded = folder.read("a name/with: odd*characters")
    assert loaded is not None
    assert loaded.seconds == 0.5
    for found in (saved.data, loaded.data):
        assert torch.equal(found["views"][2], shared.T)
        assert found["scalar"].shape == ()
        assert found["np_scalar"].shape == ()
        assert found["empty"].shape == (0, 2)
        assert found["zero_d"] == 1.5
        assert found["row"] == row.model_dump()
        assert found["nested"] == {"deep": [[1], []]}
    assert folder.read("another") is None


@pytest.mark.parametrize(
    ("data", "cause"), [({1: 2}, "not text"), ({"a": [object()]}, "object at /a/0"), (b"x", "bytes")]
)
def test_chunks_refuse_what_would_not_come_back(tmp_path: Path, data: Any, cause: str) -> None:
    with pytest.raises(PkvError, match=cause):
        ChunkFolder(tmp_path / "k").save("c", data, 0.0)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize("damage", [b"", b"{", b"garbage" * 10])
def test_damaged_chunk_is_computed_again(
    tmp_path: Path, suffix: str, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = ChunkFolder(tmp_path / "k")
    folder.save("c", {"x": torch.ones(3)}, 0.0)
    (file,) = folder.folder.glob(f"*{suffix}")
    file.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert folder.read("c") is None
    assert "damaged" in caplog.text


def test_changed_payload_is_noticed(tmp_path: Path) -> None:
    folder = ChunkFolder(tmp_path / "k")
    folder.save("c", {"x": 1}, 0.0)
    (file,) = folder.folder.glob("*.json")
    index = json.loads(file.read_text())
    file.write_text(json.dumps(index | {"payload": '{"x": 2}'}))
    assert folder.read("c") is None


def test_failed_control_ends_the_run_as_an_error(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        fill(run)
        run.controls.clear()
        run.control("self_patch", 0.5, 0.0, 1e-6, "row 3")

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


def test_control_that_is_not_a_number_stops_at_once(tmp_path: Path) -> None:
    reached: list[str] = []
    run = open_run(tmp_path)

    def body() -> None:
        run.control("full_patch", float("nan"), 1.0, 0.1)
        reached.append("after")

    with pytest.raises(ControlFailure, match="'full_patch' measured nan"):
        carry_out(run, body)
    assert reached == []
    assert read(run.path).status == "error"


def test_check_controls_stops_early(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.control("batched_single", 1.0, 0.0, 0.1)
        run.check_controls()
        run.control("later", 0.0, 0.0, 0.1)

    with pytest.raises(ControlFailure, match="batched_single"):
        carry_out(run, body)
    assert [control.name for control in read(run.path).controls] == ["batched_single"]


def test_invalid_rows_are_named_and_chunks_kept(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.chunk("c", lambda: 1)
        fill(run)
        bad = {
            "family": "a",
            "split": "s",
            "instance": 1,
            "wording": 1,
            "arm": "x",
            "patched": float("nan"),
        }
        run.rows.append(bad)

    with pytest.raises(PkvError, match=r"/rows/6/patched: .*finite.*chunks are kept"):
        carry_out(run, body)
    assert read(run.path).status == "error"
    assert run.chunks.read("c") is not None


def test_success_needs_the_facts_about_the_model(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.control("self_patch", 0.0, 0.0, 0.1)

    with pytest.raises(PkvError, match="/model/revision"):
        carry_out(run, body)


def test_interrupt_is_one_clear_error_and_keeps_chunks(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.chunk("c", lambda: {"x": 1})
        raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="probe on tiny-llama was interrupted; run the same command again"):
        carry_out(run, body)
    assert (read(run.path).status, read(run.path).error) == ("error", "interrupted by the user")
    assert run.chunks.read("c") is not None


def _full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_one_clear_error_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.chunk("one", lambda: {"x": torch.ones(2)})
        monkeypatch.setattr(writer_module.os, "fsync", _full)
        run.chunk("two", lambda: {"x": torch.ones(2)})

    with pytest.raises(PkvError, match=r"cannot write .*: No space left on device; free some space"):
        carry_out(run, body)
    monkeypatch.undo()
    assert "could not be recorded" in caplog.text
    assert read(run.path).status == "started"
    assert run.chunks.read("one") is not None
    assert run.chunks.read("two") is None
    assert list(tmp_path.rglob("*.part")) == []


@pytest.mark.parametrize(
    ("number", "kind", "message"),
    [(errno.ENOSPC, PkvError, "cannot write .*; free some space"), (errno.ENOENT, FileNotFoundError, "gone")],
)
def test_disk_errors_of_the_experiment_itself(
    tmp_path: Path, number: int, kind: type[Exception], message: str
) -> None:
    def body() -> None:
        raise OSError(number, "gone")

    with pytest.raises(kind, match=message):
        carry_out(open_run(tmp_path), body)


def test_full_disk_at_the_end_leaves_an_older_success_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = finished(tmp_path)
    before = path.read_bytes()
    run = open_run(tmp_path, resume=False)

    def body() -> None:
        assert not run.done
        fill(run)
        monkeypatch.setattr(writer_module.os, "replace", _full)

    with pytest.raises(PkvError, match="cannot write"):
        carry_out(run, body)
    assert path.read_bytes() == before
    assert list(tmp_path.rglob("*.part")) == []


def test_forced_repeat_keeps_the_success_until_it_succeeds(tmp_path: Path) -> None:
    path = finished(tmp_path)
    first = read(path)
    run = open_run(tmp_path, resume=False)

    def body() -> None:
        raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        carry_out(run, body)
    assert read(path) == first
    with open_run(tmp_path, resume=False) as run:
        fill(run)
    assert read(path).started_at > first.started_at


def test_damaged_record_is_named_with_its_mend(tmp_path: Path) -> None:
    path = finished(tmp_path)
    path.write_text("{")
    with pytest.raises(PkvError, match=r"tiny-llama-.*line 1 column 2.*git checkout"):
        open_run(tmp_path)


def test_bad_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match="no experiment name"):
        open_run(tmp_path, experiment="../x")
    with pytest.raises(PkvError, match="has no name"):
        open_run(tmp_path, model={"dtype": "float32"})
    with open_run(tmp_path, model={"name": "../org/model:7b"}) as run:
        fill(run)
    assert run.path.parent == tmp_path / "probe"
    assert check(tmp_path) == (1, [])


def test_unwritable_results_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    run = open_run(tmp_path / "results")

    def body() -> None:
        raise AssertionError("never reached")

    with pytest.raises(PkvError, match="cannot write"):
        carry_out(run, body)


SWEEP = """
import os, signal, sys
from pathlib import Path
from pkv_interp.records import RunStore
from tests.records.examples import CONFIG, fill

results, die_at = Path(sys.argv[1]), sys.argv[2]
for model in ("a", "b"):
    with RunStore(results).open(experiment="probe", model={"name": model}, config=CONFIG) as run:
        if run.done:
            print("skip", model, flush=True)
            continue
        for i in range(3):
            def compute(i=i):
                if f"{model}{i}" == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                print("compute", model, i, flush=True)
                return {"i": i}
            run.chunk(f"part/{i}", compute)
        fill(run)
"""


def test_kill_9_loses_at_most_the_current_chunk(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]

    def sweep(die_at: str) -> tuple[int, list[str]]:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(SWEEP), str(tmp_path), die_at],
            cwd=root,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return done.returncode, done.stdout.splitlines()

    code, lines = sweep("b2")
    assert code == -signal.SIGKILL
    assert lines == ["compute a 0", "compute a 1", "compute a 2", "compute b 0", "compute b 1"]
    statuses = sorted(read(path).status for path in (tmp_path / "probe").glob("*.json"))
    assert statuses == ["started", "success"]
    assert check(tmp_path) == (2, [])
    assert sweep("never") == (0, ["skip a", "compute b 2"])
    assert check(tmp_path) == (2, [])


def test_left_over_parts_of_a_killed_write_are_removed(tmp_path: Path) -> None:
    path = finished(tmp_path)
    part = path.with_name(f".{path.name}.99999.part")
    part.write_bytes(b"half")
    assert check(tmp_path) == (1, [])
    assert open_run(tmp_path).done
    assert not part.exists()


def test_seconds_count_the_chunks_of_earlier_sittings(tmp_path: Path) -> None:
    run = open_run(tmp_path)

    def body() -> None:
        run.chunks.save("long", {}, seconds=100.0)
        raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        carry_out(run, body)
    with open_run(tmp_path) as again:
        again.chunk("long", lambda: {})
        fill(again)
    assert 100.0 <= (again.record.seconds or 0.0) < 160.0


def test_set_model_keeps_the_requested_name(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        fill(run)
        run.set_model({k: v for k, v in INFO.items() if k != "name"})
    assert run.record.model["name"] == "tiny-llama"


def test_store_takes_a_string(tmp_path: Path) -> None:
    assert RunStore(str(tmp_path)).results_dir == tmp_path
