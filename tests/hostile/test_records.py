"""Records that are many, newer, being worked on, or in places with odd names."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import model_config_of
from pkv_interp.plots.save import finished as drawn
from pkv_interp.records import RunStore, check, headlines, load, load_records, newest_of_each_model, read
from pkv_interp.records.__main__ import main as records_command
from pkv_interp.records.code import Code
from pkv_interp.records.find import PARTIAL
from pkv_interp.records.lock import RunLock
from pkv_interp.run.display import show
from tests.records.examples import SUMMARY, fill, finished, open_run, question, spoil


def local(path: str) -> dict[str, Any]:
    """A folder of weights as a run's configuration names it."""
    return model_config_of({"name": "local", "source": "local", "path": path}).model_dump()


def test_nothing_is_left_out_of_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S13: three seeds and two local folders are five runs, and each can be told from the others."""
    for seed in range(3):
        finished(tmp_path, seed=seed)
    for place in ("/models/base", "/models/tuned"):
        finished(tmp_path, model=local(place), weights=f"weights of {place}")
    frame = load(tmp_path)
    assert len(frame) == 5 * 6
    assert len(frame[["model", "seed", "weights"]].drop_duplicates()) == 5
    assert set(frame["model"]) == {"tiny-llama", "local-base", "local-tuned"}
    assert len(headlines(tmp_path)) == 5
    assert caplog.text == ""


def test_folders_of_one_name_are_told_apart_by_their_weights(tmp_path: Path) -> None:
    """S13: checkpoints are often called alike."""
    for place in ("/a/checkpoint-100", "/b/checkpoint-100"):
        finished(tmp_path, model=local(place), weights=f"{place} weights")
    frame = load(tmp_path)
    assert set(frame["model"]) == {"local-checkpoint-100"}
    assert len(set(frame["weights"])) == 2
    assert len(frame) == 12


def test_what_newer_code_measured_again_is_left_out_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S13: the only records that a table leaves out."""
    finished(tmp_path)
    wanted = question()
    keys = wanted.keys(Code(("a.measure",), "e" * 64), SUMMARY)
    with RunStore(tmp_path).open(wanted, keys) as run:
        fill(run)
    with caplog.at_level(logging.WARNING):
        (found,) = load_records(tmp_path)
    assert found.keys == keys
    assert "1 records" in caplog.text
    assert "latest=False keeps them" in caplog.text
    assert len(load_records(tmp_path, latest=False)) == 2


def test_one_record_of_several_is_chosen_with_a_word(tmp_path: Path) -> None:
    """S13: figures, notebooks and docs show one record of each model."""
    finished(tmp_path, seed=0)
    last = finished(tmp_path, seed=1)
    finished(tmp_path, model={"name": "other"})
    chosen, remarks = newest_of_each_model(load_records(tmp_path))
    assert [(record.model_name, record.seed) for record in chosen] == [("other", 0), ("tiny-llama", 1)]
    assert remarks == [f"2 records of probe on tiny-llama: the newest is taken, {last}"]


def test_records_of_two_layouts_do_not_stand_in_for_each_other(tmp_path: Path) -> None:
    finished(tmp_path, config={"layout": None})
    finished(tmp_path, config={"layout": "python_script"})
    finished(tmp_path, config={"layout": "yaml"})
    chosen, remarks = newest_of_each_model(load_records(tmp_path))
    assert [one.subject for one in chosen] == ["tiny-llama", "tiny-llama@python_script", "tiny-llama@yaml"]
    assert {one.model_name for one in chosen} == {"tiny-llama"}
    assert remarks == []


def test_records_of_two_engines_do_not_stand_in_for_each_other(tmp_path: Path) -> None:
    finished(tmp_path, config={"layout": None, "engine": "llama"})
    finished(tmp_path, config={"layout": "yaml", "engine": "vllm"})
    chosen, remarks = newest_of_each_model(load_records(tmp_path))
    assert [one.subject for one in chosen] == ["tiny-llama@llama", "tiny-llama@yaml@vllm"]
    assert remarks == []


@pytest.mark.parametrize("version", [3, 10**9])
def test_a_newer_record_is_not_called_damaged(tmp_path: Path, version: int) -> None:
    """T14: nobody is told to delete what a later version reads."""
    path = finished(tmp_path)
    spoil(path, "/schema_version", version)
    for act in (lambda: read(path), lambda: load(tmp_path), lambda: open_run(tmp_path)):
        with pytest.raises(PkvError, match="upgrade it") as caught:
            act()
        assert "delete" not in str(caught.value)
        assert "pkv_interp" in str(caught.value)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_any_path_can_be_printed_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    """T9: an umlaut, a dash and a path that is no text at all on a terminal that has none of them."""
    place = tmp_path / "Übung—\udcff"
    os.mkdir(place)
    finished(place)
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding, errors="strict"))
    out, error = sys.stdout, sys.stderr
    assert records_command(["check", str(place)]) == 0
    assert records_command(["check", str(place / "gone")]) == 2
    told = []
    for stream in (out, error):
        stream.flush()
        told.append(stream.buffer.getvalue().decode(encoding))  # pyright: ignore
    assert "1 records, 0 problems" in told[0]
    assert "bung" in told[0]
    assert "\\udcff" in told[0]
    assert "there is no folder" in told[1]


def test_a_second_run_of_a_key_is_told_of_the_first(tmp_path: Path) -> None:
    """T13: with and without resume; what the first has measured stays."""
    with open_run(tmp_path) as first:
        for resume in (True, False):
            with pytest.raises(PkvError) as caught:
                open_run(tmp_path, resume=resume)
            assert f"process {os.getpid()} on {socket.gethostname()}, since 20" in str(caught.value)
            assert "\n" not in str(caught.value)
        with open_run(tmp_path, seed=1) as other:
            fill(other)
        fill(first)
    assert not (tmp_path / PARTIAL).exists()
    assert open_run(tmp_path).done
    assert check(tmp_path) == (2, [])


def test_a_lock_is_let_go_when_its_run_fails(tmp_path: Path) -> None:
    """T13."""
    run = open_run(tmp_path)
    with pytest.raises(ValueError, match="x"), run:
        raise ValueError("x")
    with open_run(tmp_path) as again:
        fill(again)


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    """T13: killed with everything still on disk."""
    child = os.fork()
    if child == 0:
        held = RunLock.take(tmp_path, "k")
        os._exit(0 if held is not None else 1)
    os.waitpid(child, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["k.lock", "k.owner"]
    lock = RunLock.take(tmp_path, "k")
    assert lock is not None
    with pytest.raises(PkvError, match=f"process {os.getpid()} "):
        RunLock.take(tmp_path, "k")
    lock.release()
    assert not tmp_path.exists()


def test_a_skipped_run_names_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """T22: in one line, however narrow the terminal is."""
    path = finished(tmp_path)
    show(Console(stderr=True, width=20), read(path), skipped=True)
    first = capsys.readouterr().err.splitlines()[0]
    assert first == f"skipped: this run was finished before, see {path}; resume=false runs it again"


def test_pictures_are_drawn_where_an_event_loop_runs() -> None:
    """T19: as in a notebook; outside of one as well."""

    async def work() -> str:
        await asyncio.sleep(0)
        return "drawn"

    async def notebook() -> str:
        return drawn(work)

    assert asyncio.run(notebook()) == "drawn"
    assert drawn(work) == "drawn"
