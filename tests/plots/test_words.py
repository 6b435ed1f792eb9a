"""Words in reading order: none is lost, none overlaps, marks and colours are where they belong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pkv_interp.plots.theme import VERMILLION
from pkv_interp.plots.tokens import measured, token_bars, token_text
from pkv_interp.plots.words import kind_runs, lay_out, shown
from tests.plots.examples import circuit_record


def test_markup_and_line_breaks_are_shown_and_not_interpreted() -> None:
    assert shown("<|im_end|>\n") == "&lt;|im_end|&gt;↵"
    assert shown("a & b") == "a &amp; b"


def test_tokens_fill_lines_in_order_and_do_not_overlap() -> None:
    tokens = ["word", " and", " more"] * 20
    cells = lay_out(tokens, columns=20)
    assert [cell.text for cell in cells] == tokens
    assert all(cell.column + cell.width <= 20 for cell in cells)
    for before, after in zip(cells, cells[1:], strict=False):
        same = after.line == before.line
        assert after.column == (before.column + before.width if same else 0)
        assert same or after.line == before.line + 1


def test_a_line_break_ends_a_line_past_its_middle_only() -> None:
    assert [cell.line for cell in lay_out(["ab\n", "cdefgh\n", "i"], columns=10)] == [0, 0, 1]


def test_kind_runs_cover_every_token_and_labels_keep_clear_of_each_other() -> None:
    cells = lay_out(["If", " it", " is", " x", ",", " do", "\n"], columns=80)
    runs = kind_runs(cells, ["rule", "rule", "rule", "trigger", "rule", "rule", "system"])
    assert [(run.kind, run.start, run.end) for run in runs] == [
        ("rule", 0, 8), ("trigger", 8, 10), ("rule", 10, 14), ("system", 14, 15),
    ]  # fmt: skip
    assert [run.label for run in runs] == ["rule", "trigger", "", ""]  # no room, and no word


def test_patched_tokens_are_coloured_by_their_recovery() -> None:
    record = circuit_record()
    lines = record.tables["tokens"]
    figure: Any = token_text(record)
    (words,) = [t for t in figure.data if t.customdata is not None]
    assert list(words.text) == [shown(line["token"]) for line in lines]  # type: ignore[arg-type]
    boxes = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    live = measured(pd.DataFrame(lines))
    assert len(boxes) == int(live.sum()) + 1
    framed = [box for box in boxes if box.line.width]
    assert [box.line.color for box in framed] == [VERMILLION]
    values = np.array([line["recovery"] for line in lines], float)[live]
    red_minus_blue = []
    for box in boxes:
        if not box.line.width:
            red, _, blue = (int(part) for part in box.fillcolor.removeprefix("rgb(").rstrip(")").split(","))
            red_minus_blue.append(red - blue)
    assert np.sign(red_minus_blue).tolist() == np.sign(values).tolist()  # warm above 0, cold below


@pytest.mark.parametrize("most", [4, 400])
def test_bars_keep_reading_order_and_the_largest(most: int) -> None:
    record = circuit_record()
    figure: Any = token_bars(record, most=most)
    heights = {float(x): float(y) for trace in figure.data for x, y in zip(trace.x, trace.y, strict=True)}
    live = [line["recovery"] for line in record.tables["tokens"] if line["recovery"]]
    assert len(heights) == min(most, len(live))
    kept = [heights[x] for x in sorted(heights)]
    largest = sorted(live, key=lambda value: -abs(value))[:most]  # type: ignore[arg-type]
    assert kept == [value for value in live if value in largest]
