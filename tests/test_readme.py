"""README and docs say what the committed records say, and README's examples print what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.records import RunRecord
from tests.committed import committed
from tests.documents import PATHS, blocks, section, text_of

README = text_of("README.md")
RESULTS = text_of("docs/results.md")
MODEL = "smollm2-135m-gate"
#: Tables of headlines: the document, the experiment, the model, and the table.
TABLES = [
    (path.name, experiment, model, text)
    for path in PATHS
    for experiment, model, text in re.findall(
        r"^<!-- headlines (\S+) (\S+)[^>]*? -->\n(.*?)^<!-- end -->",
        path.read_text(encoding="utf-8"),
        re.DOTALL | re.MULTILINE,
    )
]


@pytest.fixture(scope="module")
def records() -> dict[tuple[str, str], RunRecord]:
    return {(r.experiment, r.subject): r for r in committed()}


def test_the_circuit_table_is_in_readme_and_every_record_has_one_in_the_results(
    records: dict[tuple[str, str], RunRecord],
) -> None:
    assert ("README.md", "circuit", MODEL) in [table[:3] for table in TABLES]
    assert {table[1:3] for table in TABLES if table[0] == "results.md"} >= records.keys()


@pytest.mark.parametrize(
    ("document", "experiment", "model", "text"), TABLES, ids=[" ".join(t[:3]) for t in TABLES]
)
def test_every_figure_of_a_table_stands_in_the_record(
    document: str, experiment: str, model: str, text: str, records: dict[tuple[str, str], RunRecord]
) -> None:
    lines = re.findall(r"^\| `([\w@.]+)` \| ([^|]+) \|", text, re.MULTILINE)
    assert len(lines) >= min(5, len(records[experiment, model].headline)), document
    for name, printed in lines:
        figure = records[experiment, model].headline[name]
        shown = _shown(figure.value, figure.ci_low, figure.ci_high)
        weak = False
        if figure.ci_low is not None and figure.ci_high is not None:
            of_its_range = (figure.low, figure.high) != (0.0, None)
            weak = figure.n_families < 6 or (of_its_range and figure.ci_high - figure.ci_low > 0.5)
        assert printed.strip() == shown + (" \\*" if weak else ""), name
        if document.startswith("README"):
            assert not weak, f"{name} says too little for the README"


def _shown(value: float, low: float | None, high: float | None) -> str:
    """An interval whose ends are one number is not printed as one."""
    if low is None:
        return f"{value:.3f} [one family, no interval]"
    return f"{value:.3f} (no spread)" if low == high else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def test_the_frontier_is_that_of_the_record(records: dict[tuple[str, str], RunRecord]) -> None:
    (text,) = re.findall(r"<!-- table editing \S+ frontier [^>]*-->(.*?)<!-- end -->", RESULTS, re.DOTALL)
    tables = records["editing", MODEL].tables
    by_method: dict[object, dict[str, Any]] = {line["method"]: line for line in tables["frontier"]}
    lines = _lines(text)
    assert set(lines) == set(by_method)
    for method, (right, kl, share, latency, surgery) in lines.items():
        line = by_method[method]
        assert right == _figure(line, "p_correct"), method
        assert kl == _figure(line, "kl"), method
        assert share == f"{line['recompute_share']:.3f}", method
        assert latency == _figure(line, "latency_ratio"), method
        assert surgery == ("yes" if line["prompt_surgery"] else "no"), method


@pytest.mark.parametrize("place", ["early", "late"])
def test_the_main_table_of_edits_is_that_of_the_record(
    place: str, records: dict[tuple[str, str], RunRecord]
) -> None:
    marker = rf"<!-- table editing {MODEL} main_frontier place:{place} [^>]*-->(.*?)<!-- end -->"
    (text,) = re.findall(marker, RESULTS, re.DOTALL)
    kept: Any = records["editing", MODEL].tables["main_frontier"]
    by_method = {line["method"]: line for line in kept if line["place"] == place}
    shown = _lines(text)
    assert list(shown) == list(by_method)
    for method, (right, *_, share, tokens) in shown.items():
        line = by_method[method]
        known = _figure(line | {"right": line["value"]}, "right", prefix="")
        assert right.removesuffix(" \\*") == known, method
        assert [share, tokens] == [f"{line[name]:.3f}" for name in ("share", "tokens")], method
    (counts,) = re.findall(
        rf"<!-- table editing {MODEL} edits_that_matter [^>]*-->(.*?)<!-- end -->", RESULTS, re.DOTALL
    )
    edits, matter, stale_right, full_wrong = map(int, _lines(counts)[place])
    assert edits == matter + stale_right + full_wrong
    assert {line["n_instances"] for line in by_method.values()} == {matter}


def _lines(table: str) -> dict[str, list[str]]:
    """Cells after the first, by the first."""
    cells = [line.strip("| ").split(" | ") for line in table.strip().splitlines()[2:]]
    return {first: rest for first, *rest in cells}


def _figure(line: dict[str, Any], name: str, prefix: str | None = None) -> str:
    before = f"{name}_" if prefix is None else prefix
    low, high = line[f"{before}ci_low"], line[f"{before}ci_high"]
    return f"{line[name]:.3f}" if low is None else _shown(line[name], low, high)


def test_every_picture_exists() -> None:
    assert re.search(r"!\[[^\]]*\]\([^)]+\)", README)
    pictures = [
        path.parent / picture
        for path in PATHS
        for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    ]
    assert len(pictures) >= 30
    for picture in pictures:
        assert picture.is_file(), picture


def test_readme_is_a_front_door() -> None:
    assert len(README.splitlines()) <= 180


def example(heading: str) -> str:
    """The one Python example of a section of README."""
    (code,) = [b.code for b in blocks(section(README, heading), "README.md") if b.language == "python"]
    return code


def printed(code: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What an example prints."""
    capsys.readouterr()
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    return capsys.readouterr().out


def said(heading: str) -> list[str]:
    """What README says that an example prints."""
    sentence = section(README, heading).partition("It prints ")[2]
    return re.findall(r"`([^`]+)`", re.split(r"\.\s|:\s| \(with", sentence)[0])


@pytest.mark.slow
@pytest.mark.usefixtures("session_loads_once")
def test_the_experiment_example_runs_in_three_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = example("Run an experiment")
    assert len([line for line in code.splitlines() if line and "import" not in line]) == 3
    assert said("Run an experiment") == [printed(code, capsys).strip()]


@pytest.mark.slow
@pytest.mark.usefixtures("examples_load_once")
def test_the_composing_example_runs_in_ten_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = example("Move cached notes")
    lines = [line for line in code.splitlines() if line]
    assert len(lines) - lines.index('loaded = load(load_catalogue_entry("smollm2-135m-gate"))') <= 10
    assert said("Move cached notes") == printed(code, capsys).split()


@pytest.mark.slow
@pytest.mark.usefixtures("examples_load_once")
def test_the_editing_example_runs_in_ten_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = example("Edit a cache")
    assert sum(bool(line) for line in code.splitlines()) == 10
    out = printed(code, capsys)
    assert said("Edit a cache") == [line for line in out.splitlines() if line]


@pytest.mark.slow
@pytest.mark.usefixtures("examples_load_once")
def test_the_example_of_an_isolated_field_runs_in_ten_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = example("Edit a field exactly")
    assert sum(bool(line) for line in code.splitlines()) == 10
    assert said("Edit a field exactly") == [printed(code, capsys).strip()]
