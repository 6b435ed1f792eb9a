"""The README says what the committed records say, and its commands exist."""

import re
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.records import RunRecord, load_records

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODEL = "smollm2-135m-gate"
# A table names its experiment, and its model where that is not the default one.
TABLES = [
    (experiment, model or MODEL, text)
    for experiment, model, text in re.findall(
        r"<!-- (\w+)-table(?: (\S+))? -->(.*?)<!-- end -->", README, re.DOTALL
    )
    if experiment != "frontier"
]


@pytest.fixture(scope="module")
def records() -> dict[tuple[str, str], RunRecord]:
    return {(r.experiment, r.model_name): r for r in load_records(ROOT / "results")}


def test_the_circuit_table_is_there() -> None:
    assert ("circuit", MODEL) in [table[:2] for table in TABLES]


@pytest.mark.parametrize(("experiment", "model", "text"), TABLES, ids=[" ".join(t[:2]) for t in TABLES])
def test_every_figure_of_a_table_stands_in_the_record(
    experiment: str, model: str, text: str, records: dict[tuple[str, str], RunRecord]
) -> None:
    lines = re.findall(r"^\| `([\w@.]+)` \| ([^|]+) \|", text, re.MULTILINE)
    assert len(lines) >= 5
    for name, printed in lines:
        assert printed.strip() == str(records[experiment, model].headline[name]), name


def test_the_frontier_is_that_of_the_record(records: dict[tuple[str, str], RunRecord]) -> None:
    (text,) = re.findall(r"<!-- frontier-table -->(.*?)<!-- end -->", README, re.DOTALL)
    lines = re.findall(r"^\| `([\w@.]+)` \| (.*) \|$", text, re.MULTILINE)
    tables = records["editing", MODEL].tables
    by_method: dict[object, dict[str, Any]] = {line["method"]: line for line in tables["frontier"]}
    by_place: Any = tables["frontier_by_place"]
    early = {line["method"]: line["value"] for line in by_place if line["place"] == "early"}
    assert {method for method, _ in lines} == set(by_method)
    for method, printed in lines:
        line = by_method[method]
        right, before, _, *costs = printed.split(" | ")
        low, high = line["p_correct_ci_low"], line["p_correct_ci_high"]
        assert right == f"{line['p_correct']:.3f} [{low:.3f}, {high:.3f}]", method
        assert before == f"{early[method]:.2f}", method
        wanted = [f"{line[name]:.2f}" for name in ("kl", "recompute_share", "latency_ratio")]
        assert costs == [*wanted, "yes" if line["prompt_surgery"] else "no"], method


def test_every_picture_exists() -> None:
    pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture


@pytest.mark.slow
def test_the_composing_example_runs_in_ten_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    section = README.partition("## Move cached notes")[2].partition("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    lines = [line for line in code.splitlines() if line]
    assert len(lines) - lines.index('loaded = load(load_catalogue_entry("smollm2-135m-gate"))') <= 10
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    said = section.partition("It prints ")[2].partition(" (with")[0]
    assert re.findall(r"`([^`]+)`", said) == capsys.readouterr().out.split()


def test_every_command_names_a_module_or_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"\bmake (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for module in re.findall(r"python -m ([\w.]+)", README):
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_committed_records_are_valid_and_passed_their_controls() -> None:
    from pkv_interp.records import check

    count, problems = check(ROOT / "results")
    assert count >= 2
    assert problems == []


@pytest.mark.slow
def test_the_editing_example_runs_in_ten_lines_and_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    section = README.partition("## Edit a cache")[2].partition("\n## ")[0]
    code = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(code) == 1
    assert sum(bool(line) for line in code[0].splitlines()) == 10
    exec(compile(code[0], "README.md", "exec"), {})  # noqa: S102
    printed = [line for line in capsys.readouterr().out.splitlines() if line]
    said = section.partition("It prints ")[2].partition(". Twelve")[0]
    assert re.findall(r"`([^`]+)`", said) == printed
    from pkv_interp.editing import METHODS

    assert len(METHODS) == 12
