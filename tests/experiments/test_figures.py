"""The figures command: records in, pages and pictures out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from experiments.circuit.figures import FIGURES
from experiments.figures import draw as command
from experiments.figures.draw import figures
from experiments.figures.settings import FiguresSettings
from pkv_interp.errors import PkvError
from pkv_interp.plots.save import find_browser
from pkv_interp.plots.tables import NOT_COMPETENT
from tests.refused import refused


def settings(results: Path, out: Path, **changes: object) -> FiguresSettings:
    given = {"results_dir": results, "output_dir": out, "models": None, "png": False, "scale": 1.0}
    return FiguresSettings.model_validate(given | changes)


def test_pages_are_drawn_from_the_record_alone(circuit_results: Path, tmp_path: Path) -> None:
    figures(settings(circuit_results, tmp_path))
    folder = tmp_path / "circuit" / "tiny-llama"
    assert {path.stem for path in folder.glob("*.html")} == set(FIGURES)
    assert (folder / "plotly.min.js").stat().st_size > 1_000_000
    for path in folder.glob("*.html"):
        page = path.read_text()
        assert 'src="plotly.min.js"' in page
        assert not re.search(r'src="https?:', page), "a page must not need the network"
        assert NOT_COMPETENT in page  # weights are random


def test_the_same_record_gives_the_same_bytes(circuit_results: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        figures(settings(circuit_results, tmp_path / name))
    first = {p.name: p.read_bytes() for p in (tmp_path / "one").rglob("*.html")}
    second = {p.name: p.read_bytes() for p in (tmp_path / "two").rglob("*.html")}
    assert first == second


def test_pictures_where_there_is_a_browser_and_one_line_where_not(
    circuit_results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures(settings(circuit_results, tmp_path, png=True))
    told = [line for line in capsys.readouterr().err.splitlines() if "PNG left out" in line]
    drawn = list(tmp_path.rglob("*.png"))
    if find_browser() is None:
        assert (len(told), drawn) == (1, [])
    else:
        assert told == []
        assert {path.stem for path in drawn} == set(FIGURES)
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


@pytest.mark.parametrize("broken", [False, True])
def test_without_a_working_browser_there_is_html_and_one_line(
    broken: bool,
    circuit_results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = tmp_path / "browser"
    if broken:
        fake.write_text("#!/bin/sh\nexit 3\n")
        fake.chmod(0o755)
    monkeypatch.setenv("BROWSER_PATH", str(fake))
    figures(settings(circuit_results, tmp_path / "out", png=True))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2, told
    assert "PNG left out" in told[1]
    assert list((tmp_path / "out").rglob("*.html"))
    assert not list((tmp_path / "out").rglob("*.png"))


def test_models_can_be_chosen(circuit_results: Path, tmp_path: Path) -> None:
    chosen = settings(circuit_results, tmp_path, models=["tiny-llama"])
    assert [record.model_name for record in command.drawable(chosen)] == ["tiny-llama"]
    with pytest.raises(PkvError, match="no finished record of qwen3-8b to draw from; choose from tiny-llama"):
        figures(settings(circuit_results, tmp_path, models=["qwen3-8b"]))


def test_no_record_is_one_line_and_exit_code_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = refused(capfd, "figures", f"results_dir={tmp_path}")
    assert "no finished record to draw from; run `python -m experiments.circuit` first" in line
