"""Numbers in texts that cite records: found, rounded as written, refused where there is no such field."""

from __future__ import annotations

from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.records.cited import Citation, Records, corrected, replaced, uncited, wrong
from tests.plots.examples import circuit_record


@pytest.fixture
def records() -> Records:
    record: Any = circuit_record()
    record.tables["places"] = [
        {
            "value": 0.126,
            "ci_low": -0.2,
            "ci_high": 0.301,
            "arm": "notes",
            "place": "before the rule",
            "n": 1234,
        },
        {
            "value": -0.001,
            "ci_low": None,
            "ci_high": None,
            "arm": "field",
            "place": "before the rule",
            "n": 2,
        },
    ]
    return {("circuit", "made-up"): record}


PLACE = "circuit made-up places arm=notes"


@pytest.mark.parametrize(
    ("written", "cited", "right"),
    [
        ("0.8", "circuit made-up faithfulness_auc", "0.8"),
        ("9.000", "circuit made-up faithfulness_auc", "0.800"),
        ("0.00 [0.00, 0.00]", "circuit made-up faithfulness_auc", "0.80 [0.70, 0.90]"),
        ("0.0", "circuit made-up faithfulness_auc:ci_high", "0.9"),
        ("9", "circuit made-up faithfulness_auc:n_instances", "6"),
        ("0.00", f"{PLACE} value", "0.13"),
        ("0.00 [0.00, 0.00]", f"{PLACE} place=before_the_rule value", "0.13 [-0.20, 0.30]"),
        ("0", f"{PLACE} n", "1,234"),
        ("-0.25", "circuit made-up places arm=field value", "0.00"),
    ],
)
def test_a_number_is_that_of_its_record_with_the_digits_it_is_written_with(
    written: str, cited: str, right: str, records: Records
) -> None:
    text = f"It carries {written}<!--= {cited} --> of it."
    assert corrected(text, records) == f"It carries {right}<!--= {cited} --> of it."
    assert [(one.written, one.right) for one in wrong(text, records)] == (
        [] if written == right else [(written, right)]
    )


def test_a_citation_names_record_field_and_words(records: Records) -> None:
    seen: list[Citation] = []

    def shown(one: Citation) -> str:
        seen.append(one)
        return f"<{one.right}>"

    text = f"A 0.13<!--= {PLACE} value --> and 0.8<!--= circuit made-up faithfulness_auc -->."
    assert replaced(text, records, shown) == "A <0.13> and <0.8>."
    first, second = seen
    assert (first.field, first.interval) == ("/tables/places/0/value", (-0.2, 0.301))
    assert first.what == "arm notes, place before the rule"
    assert (second.field, second.record.experiment) == ("/headline/faithfulness_auc/value", "circuit")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("0.1<!--= circuit other notes_only -->", "there is no record for"),
        ("0.1<!--= circuit made-up notes_onyl -->", "states no headline 'notes_onyl'"),
        ("0.1<!--= circuit made-up faithfulness_auc:middle -->", "a headline has no 'middle'"),
        ("0.1<!--= circuit made-up place arm=notes value -->", "has no table 'place'"),
        ("0.1<!--= circuit made-up places arm=none value -->", "0 lines of"),
        ("0.1<!--= circuit made-up places place=before_the_rule value -->", "2 lines of"),
        ("0.1<!--= circuit made-up places harm=notes value -->", "no line of"),
        (f"0.1<!--= {PLACE} values -->", "has no column 'values'"),
        (f"0.1<!--= {PLACE} place -->", "is no number"),
        ("0.1 [0.0, 0.2]<!--= circuit made-up places arm=field value -->", "has no interval"),
        ("it is so <!--= circuit made-up faithfulness_auc -->", "stands behind no number"),
    ],
)
def test_what_does_not_exist_is_refused_in_one_line(text: str, cause: str, records: Records) -> None:
    with pytest.raises(PkvError, match=r"^[^\n]*$") as error:
        replaced(text, records, lambda one: one.right)
    assert cause in str(error.value)


@pytest.mark.parametrize(
    ("text", "loose"),
    [
        ("It carries 0.98 of it, in 12 heads.", ["0.98", "12"]),
        ("It carries 0.98<!--= circuit made-up faithfulness_auc --> of it.", []),
        ("Qwen2.5-Coder-0.5B, the 1.5B and 135M, arXiv 2606.17107, at 95 %.", []),
        ("`recompute@32` at\n```sh\nmake x=3\n```\n[here](results.md#top-8) <span title='7'>x</span>", []),
        ("1. first\n2. second has 3", ["3"]),
        ("<!-- table circuit m t a -->\n| 0.5 |\n<!-- end -->\nand 0.6", ["0.6"]),
    ],
)
def test_numbers_that_cite_nothing_are_found_and_names_are_none(text: str, loose: list[str]) -> None:
    assert uncited(text) == loose
