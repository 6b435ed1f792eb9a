"""Marked tables are made from records: what may be asked for, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.docs import __main__ as command
from experiments.docs.audited import remark, unchanged_pairs
from experiments.docs.tables import Records, filled
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.records.competence import Competence
from pkv_interp.records.published import Figure
from pkv_interp.records.tables import interval
from pkv_interp.run.right_pairs import RightPairs
from pkv_interp.stats import Estimate
from tests.committed import committed

ROOT = Path(__file__).parents[2]
MODEL = "smollm2-135m-gate"


@pytest.fixture(scope="module")
def records() -> Records:
    return {(r.experiment, r.model_name): r for r in committed()}


def made(marker: str, records: Records) -> list[list[str]]:
    """Cells of the table that a marker asks for; the old table and the text around it go or stay.

    What stands under the table is left out.
    """
    text = filled(f"before\n<!-- {marker} -->\nold\n<!-- end -->\nafter\n", records)
    head, _, rest = text.partition(f"<!-- {marker} -->\n")
    body, _, tail = rest.partition("\n<!-- end -->")
    assert (head, tail) == ("before\n", "\nafter\n")
    assert filled(text, records) == text
    lines = [line for line in body.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_headlines_by_name_with_published_figures(records: Records) -> None:
    record = records["circuit", MODEL]
    header, _, *lines = made(f"headlines circuit {MODEL} published notes_only competence", records)
    assert header[:2] + header[-1:] == ["headline", "ours [95 %]", "what"]
    assert [line[:2] for line in lines] == [
        [f"`{name}`", str(record.headline[name])] for name in ("notes_only", "competence")
    ]
    assert lines[0][header.index("Qwen3-8B")] == "1.004"
    assert lines[1][header.index("Qwen3-8B")] == "-"
    assert made(f"headlines circuit {MODEL} published competence", records)[0] == [
        "headline",
        "ours [95 %]",
        "what",
    ]


def test_pairs_without_a_change_are_told_under_published_figures(records: Records) -> None:
    marker = f"headlines circuit {MODEL} published notes_only read_heads_top12 top_aggregator"
    text = " ".join(filled(f"<!-- {marker} -->\n<!-- end -->\n", records).split())
    assert text.count("no pair goes from the old decision to the new one (docs/audit.md)") == 1
    assert (
        "Llama-3.1-8B: no pair goes from the old decision to the new one (docs/audit.md) behind `notes_only` "
        "(0 of 36); `read_heads_top12` (0 of 12); `top_aggregator` in part (0 of 4). <!-- end -->"
    ) in text
    ours = filled(f"<!-- headlines circuit {MODEL} notes_only -->\n<!-- end -->\n", records)
    without = {key: record for key, record in records.items() if key[0] != "audit"}
    unread = filled(f"<!-- {marker} -->\n<!-- end -->\n", without)
    assert "decision to the new one" not in ours + unread


def test_a_record_with_one_changed_pair_or_controls_alone_is_not_told(records: Records) -> None:
    audit = records["audit", "published"]
    line = {"model": None, "field": "/", "told_by": "margins", "change": ""}
    pairs = [
        {**line, "record": "none.json", "pairs": 5, "changed": 0, "controls": 2},
        {**line, "record": "some.json", "pairs": 5, "changed": 0, "controls": 0},
        {**line, "record": "some.json", "pairs": 5, "changed": 1, "controls": 0},
        {**line, "record": "controls.json", "pairs": 3, "changed": 0, "controls": 3},
    ]
    audit = audit.model_copy(update={"tables": {"pairs": pairs}})
    assert unchanged_pairs(audit) == {"none.json": "0 of 3"}
    figures = [
        Figure("1", "a", "M", "", 0.0, None, None, None, "", f"arXiv 2606.17107, {name}.json")
        for name in ("some", "controls")
    ]
    assert remark(figures, audit) == ""


def test_a_table_shows_the_lines_and_columns_that_are_asked_for(records: Records) -> None:
    table = records["editing", MODEL].tables["frontier_by_place"]
    late = [line for line in table if line["place"] == "late"]
    asked = f"table editing {MODEL} frontier_by_place place:late method value+ci=P(correct) share=part_run"
    header, _, *lines = made(asked, records)
    assert header == ["method", "P(correct)", "part run"]
    assert [line[0] for line in lines] == [line["method"] for line in late]
    assert 0 < len(late) < len(table)
    for cells, line in zip(lines, late, strict=True):
        assert cells[1] == f"{line['value']:.3f} [{line['ci_low']:.3f}, {line['ci_high']:.3f}]"
        assert cells[2] == f"{line['share']:.3f}"


def test_right_pairs_are_marked_by_their_own_number_and_called_what_they_are(records: Records) -> None:
    estimate = Estimate(value=0.9, ci_low=0.8, ci_high=1.0, n_families=8, n_instances=16)
    right = interval("right", Estimate(value=0.7, ci_low=0.6, ci_high=0.8, n_families=3, n_instances=4))
    line = RightPairs.of(
        estimate, headline="notes_only", **right, right_n_families=3, right_n_instances=4
    ).columns()
    competence = Competence(accuracy=estimate, threshold=0.95, passed=False)
    record = records["circuit", MODEL].model_copy(
        update={"tables": {"right_pairs": [line]}, "competence": competence}
    )
    asked = f"table circuit {MODEL} right_pairs headline value+ci right+ci"
    passing = competence.model_copy(update={"passed": True})
    able = record.model_copy(update={"competence": passing})
    marked = f"<!-- {asked} -->\n<!-- end -->"
    for one, told in ((record, True), (able, False)):
        body = made(asked, {("circuit", MODEL): one})
        assert body[2] == ["notes_only", "0.900 [0.800, 1.000]", "0.700 [0.600, 0.800] \\*"]
        text = filled(marked, {("circuit", MODEL): one})
        assert (f"{NOT_COMPETENT.capitalize()}." in text) is told


@pytest.mark.parametrize(
    ("marker", "cause"),
    [
        ("headlines circus smollm2-135m-gate", "no record for 'circus"),
        (f"headlines circuit {MODEL} notes_onyl", "no headline 'notes_onyl'"),
        (f"table circuit {MODEL} statues arm", "no table 'statues'"),
        (f"table circuit {MODEL} states harm", "no column 'harm'"),
        (f"table editing {MODEL} frontier_by_place place:outside method", "with place outside"),
        (f"table editing {MODEL} frontier_by_place spot:late method", "no column 'spot'"),
    ],
)
def test_what_no_record_holds_is_refused(marker: str, cause: str, records: Records) -> None:
    with pytest.raises(PkvError, match=cause):
        made(marker, records)


def test_a_stale_document_is_an_error_when_checked_and_is_mended_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = tmp_path / "README.md"
    document.write_text(f"<!-- headlines circuit {MODEL} notes_only -->\n<!-- end -->\n")
    monkeypatch.setattr(command, "documents", lambda: [document])
    assert command.main(["--check"]) == 2
    assert "notes_only`" not in document.read_text()
    assert "README.md" in capsys.readouterr().out
    assert command.main([]) == 0
    assert "| `notes_only` | " in document.read_text()
    assert command.main(["--check"]) == 0
