"""What docs/audit.md says in words of the committed record stands in it."""

from __future__ import annotations

import re

import pytest

from experiments.audit.tables import CasesLine, FindingLine, KindLine, PairLine
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import rows_of
from tests.committed import committed
from tests.documents import text_of

SAID = re.sub(r"\s+", " ", text_of("docs/audit.md"))


@pytest.fixture(scope="module")
def record() -> RunRecord:
    (found,) = [one for one in committed("audit") if one.subject == "published"]
    return found


def test_it_was_made_of_a_clean_tree_and_holds_no_place(record: RunRecord) -> None:
    assert record.environment.dirty is False
    assert record.path is not None
    assert set(record.config["path"]) == {"name", "files", "sha256"}  # pyright: ignore[reportArgumentType]
    assert record.headline["records"].value == 253


def test_pairs_of_llama_never_change_sign_but_in_one_record(record: RunRecord) -> None:
    margins = [line for line in rows_of(record, PairLine) if line.told_by == "margins"]
    llama = {line.record: line.change for line in margins if "Llama-3.1-8B" in str(line.model)}
    assert llama == {
        "mechd_xcond_llama31_8b.json": "0 of 36",
        "mechd_inject_llama31_8b.json": "0 of 18",
        "circ_heads_llama31_8b.json": "0 of 12",
        "mech_causal_patch_llama31_8b.json": "0 of 4",
        "mechd_general_llama31_8b.json": "18 of 18",
    }
    assert "Four of the five records of Llama-3.1-8B" in SAID
    assert "0 of 36, 0 of 18, 0 of 12 and 0 of 4. In the fifth, whose prompts are others, all 18" in SAID


def test_no_gap_lies_under_rounding(record: RunRecord) -> None:
    gaps = [line for line in rows_of(record, FindingLine) if line.kind == "denominator_under_noise"]
    assert {line.cause for line in gaps} == {"identity missed"}
    assert "and none lies under it" in SAID


def test_four_and_eight_cases_are_those_without_width(record: RunRecord) -> None:
    lines = {line.cases: line for line in rows_of(record, CasesLine)}
    for cases in (4, 8):
        assert lines[cases].without_width / lines[cases].intervals > 0.85
    assert all(lines[cases].without_width == 0 for cases in (3, 6, 9, 12, 24))
    assert "4 and 8 among them" in SAID


def test_every_kind_was_looked_for_and_found(record: RunRecord) -> None:
    for line in rows_of(record, KindLine):
        assert line.looked_at >= line.findings > 0, line.kind
