"""What may be stated: bounds, names, the gate; what is printed at the end."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.records import Competence, HeadlineFigure, read
from pkv_interp.records.tables import EstimateRow, TableRow, by_table, frame_of, interval, rows_of
from pkv_interp.run.display import headline_lines, show
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.stats import Estimate
from pkv_interp.tolerances import noise_floor, tolerance_of
from tests.records.examples import fill, filled, finished, open_run

RIGHT = Estimate(value=0.5, ci_low=0.4, ci_high=0.6, n_families=2, n_instances=4)


def report(passed: bool, *headlines: Headline) -> Report:
    gate = Competence(accuracy=RIGHT, threshold=0.4 if passed else 0.9, passed=passed)
    return Report(headlines, [], [], gate=gate)


def test_an_incompetent_model_states_no_mechanism() -> None:
    mine = Headline("mechanism", RIGHT, "x"), Headline("competence", RIGHT, "y", needs_gate=False)
    assert list(report(True, *mine).stated()) == ["mechanism", "competence"]
    assert list(report(False, *mine).stated()) == ["competence"]
    assert list(Report(mine, [], []).stated()) == ["mechanism", "competence"]


def test_a_figure_outside_its_bounds_is_refused() -> None:
    wrong = Estimate(value=1.5, ci_low=1.0, ci_high=2.0, n_families=2, n_instances=4)
    with pytest.raises(PkvError, match=r"headline share is 1.5, outside \(0.0, 1.0\)"):
        report(True, Headline("share", wrong, "x", bounds=SHARE)).stated()
    assert report(True, Headline("length", wrong, "x", bounds=NOT_NEGATIVE)).stated()["length"].low == 0.0


def test_two_headlines_of_one_name_are_refused() -> None:
    with pytest.raises(PkvError, match="two headlines are called x"):
        report(True, Headline("x", RIGHT, "a"), Headline("x", RIGHT, "b")).stated()


def test_a_line_a_headline_in_80_columns(tmp_path: Path) -> None:
    long = HeadlineFigure(**RIGHT.model_dump(), what="a very long description " * 5)
    with open_run(tmp_path) as run:
        fill(run, headline={"short": HeadlineFigure(**RIGHT.model_dump(), what="y"), "n" * 30: long})
    lines = headline_lines(run.record)
    assert len(lines) == 2
    assert max(map(len, lines)) == 80
    assert lines[0].endswith("0.500 [0.400, 0.600]      y")


@pytest.mark.parametrize("skipped", [False, True])
def test_the_end_says_gate_controls_and_record(tmp_path: Path, skipped: bool) -> None:
    record = read(finished(tmp_path))
    console = Console(file=io.StringIO(), width=40)
    show(console, record, skipped=skipped)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert "competence gate passed" in told
    assert f"controls: 2 passed; record: {record.path}" in told
    assert ("finished before" in told) == skipped


class Plain(TableRow):
    table = "plain"


def test_tables_come_back_as_the_rows_that_they_were(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Curve(EstimateRow):
        table = "curve"
        k: int
        other: float | None
        other_ci_low: float | None
        other_ci_high: float | None

    rows = [Curve.of(RIGHT, k=k, **interval("other", RIGHT)) for k in (1, 2)]
    with open_run(tmp_path) as run:
        fill(run, tables=by_table(rows))
    assert rows_of(run.record, Curve) == rows
    assert rows_of(run.record, Curve)[0].estimate == RIGHT
    assert frame_of(run.record, Curve)["k"].tolist() == [1, 2]
    with pytest.raises(PkvError, match="has no table 'plain'; run experiments.probe again"):
        rows_of(run.record, Plain)


def test_a_table_that_lacks_a_column_is_told(tmp_path: Path) -> None:
    from dataclasses import dataclass

    @dataclass(frozen=True)
    class Heads(TableRow):
        table = "top_heads"
        layer: int
        colour: str

    with open_run(tmp_path) as run:
        fill(run, **filled())
    with pytest.raises(PkvError, match="table 'top_heads' of .*colour"):
        rows_of(run.record, Heads)


def test_tolerances_are_known_by_dtype() -> None:
    assert tolerance_of("float32").logits < tolerance_of("bfloat16").logits
    with pytest.raises(PkvError, match="no tolerances are known for float8"):
        tolerance_of("float8")
    assert noise_floor(1e-6) == 1e-3
    assert noise_floor(0.01) == pytest.approx(0.1)
