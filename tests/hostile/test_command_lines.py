"""Command lines and calls that would run nothing, or something else than was meant: one line each."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from experiments import find
from experiments.circuit.settings import CircuitSettings
from experiments.controls.settings import ControlsSettings
from experiments.figures import draw
from experiments.figures.settings import FiguresSettings
from experiments.patching.settings import PatchingSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.arguments import checked_arguments
from pkv_interp.run.command import command
from pkv_interp.run.settings import checked


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["seed=1", "instances=1", "seed=2"], "'seed' is given twice, 'seed=1' and 'seed=2'"),
        (["model=tiny-llama", "model.seed=1", "++model.seed=1"], "'model.seed' is given twice"),
        (["--multirun", "model=glob(tiny-x*)"], "no model fits 'tiny-x*'"),
        (["--multirun", "seed=glob(*)"], "names no files"),
        (["--multirun", "seed=range(3,1)"], "'seed=range(3,1)' has no value"),
        (["--multirun", "--cfg", "job"], "--multirun and --cfg do not go together"),
        (["--experimental-rerun=foo"], "no option --experimental-rerun here"),
        (["--shell-completion"], "no shell completion here"),
        (["--resolve"], "--resolve is about --cfg"),
        (["discovery=[orders"], "has no closing ']'; write 'discovery=[orders]'"),
        (["values={orders:[a,b]"], "has no closing '}'"),
        (["--multirun", "seed=choice(1,2"], "has no closing ')'"),
    ],
)
def test_arguments_that_would_run_nothing_or_something_else(arguments: list[str], cause: str) -> None:
    with pytest.raises(PkvError) as caught:
        checked_arguments(CircuitSettings, arguments)
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_may_stand_between_settings() -> None:
    found = checked_arguments(CircuitSettings, ["seed=0,1", "--multirun", "instances=1"])
    assert found == ["seed=0,1", "instances=1", "--multirun"]
    assert checked_arguments(CircuitSettings, ["--cfg", "job", "seed=1"]) == ["seed=1", "--cfg", "job"]
    fits = ["--multirun", "model=glob(tiny-*)"]
    assert sorted(checked_arguments(CircuitSettings, fits)) == sorted(fits)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """The exit code of a command line in this process that must run nothing."""
    monkeypatch.setattr(sys, "argv", ["experiments.circuit", *arguments])
    with pytest.raises(SystemExit) as caught:
        command("circuit", CircuitSettings, lambda _: pytest.fail("it ran"))()
    return caught.value.code


def test_a_place_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file in the way stands for a folder without rights, which root would have."""
    (tmp_path / "file").write_text("")
    assert ended(monkeypatch, "--multirun", f'hydra.sweep.dir="{tmp_path}/file/x"', "seed=1,2") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot write ")


@pytest.mark.parametrize("source", ["local", "gguf"])
def test_weights_that_are_not_there_are_one_line_at_once(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    assert ended(monkeypatch, f"model={source}", f'model.path="{gone}"', f'results_dir="{tmp_path}/r"') == 2
    (line,) = capsys.readouterr().err.splitlines()
    what = {"local": "folder", "gguf": "file"}[source]
    assert line.startswith(f"error: there is no {what} {gone};")
    model = {"name": source, "source": source, "path": str(gone)}
    with pytest.raises(PkvError, match=f"there is no {what}"):
        find("circuit").run(model=model, results_dir=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_an_empty_path_of_weights_is_refused() -> None:
    with pytest.raises(PkvError, match="the text is empty"):
        checked(CircuitSettings, {"model": {"name": "local", "source": "local", "path": ""}})


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (CircuitSettings, {"discovery": ["orders"], "values": {"support": ["a", "b"]}}),
        (ControlsSettings, {"discovery": ["orders", "support"], "values": {"stock": ["a", "b"]}}),
        (PatchingSettings, {"families": ["orders", "alerts"], "values": {"support": ["a", "b"]}}),
    ],
)
def test_values_of_a_family_that_is_not_used_are_refused(schema: Any, values: dict[str, Any]) -> None:
    name = next(iter(values["values"]))
    with pytest.raises(PkvError, match=f"the family '{name}' is not used"):
        checked(schema, values)


def test_scenarios_beside_pairs_are_told_before_what_is_wrong_with_them(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text('{"clean": "It is on. A:", "corrupt": "It is off. A:", "answer": "y", "wrong": "n"}')
    with pytest.raises(PkvError, match="'families' is about scenarios"):
        checked(PatchingSettings, {"pairs": file, "families": ["a", "b"]})


@pytest.mark.parametrize("settings", [{"instances": 1}, "tiny-llama", 1])
def test_settings_that_are_none_are_one_line(settings: Any) -> None:
    with pytest.raises(PkvError, match="is no CircuitSettings; give settings by name"):
        find("circuit").run(settings)


@pytest.mark.parametrize("name", [None, 1, [], "circut"])
def test_an_experiment_that_there_is_not_is_one_line(name: Any) -> None:
    with pytest.raises(PkvError, match="there is no experiment"):
        find(name)


def test_one_model_of_several_that_has_no_record_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [SimpleNamespace(experiment="circuit", model_name="tiny-llama")]
    monkeypatch.setattr(draw, "load_records", lambda _: records)
    assert draw.drawable(checked(FiguresSettings, {"models": ["tiny-llama"]})) == records
    with pytest.raises(PkvError, match=r"record of tiny-lama to draw from; did you mean 'tiny-llama'"):
        draw.drawable(checked(FiguresSettings, {"models": ["tiny-llama", "tiny-lama"]}))
