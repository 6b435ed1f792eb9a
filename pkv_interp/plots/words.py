"""Words of a prompt, laid out in reading order for a figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.plots.theme import BLUE, BROWN, GREEN, GREY, ORANGE, PALE, PURPLE, SKY, VERMILLION, YELLOW

#: Colours of span kinds; kinds that only frame the text have greys.
KIND_COLOURS = {
    "field": GREEN,
    "rule": BLUE,
    "trigger": VERMILLION,
    "action": PURPLE,
    "conversation": SKY,
    "update": GREEN,
    "decision": ORANGE,
    "system": GREY,
    "session": YELLOW,
    "tools": BROWN,
    "filler": "#ABABAB",
    "template": PALE,
    "plain": GREY,
}


@dataclass(frozen=True)
class Cell:
    """A token on the page: ``column`` and ``width`` in characters, ``line`` counted from the top."""

    line: int
    column: int
    width: int
    text: str


@dataclass(frozen=True)
class KindRun:
    """Consecutive tokens of one kind on one line; ``label`` is empty where there is no room for it."""

    line: int
    start: int
    end: int
    kind: str
    label: str


def shown(token: str) -> str:
    """A token as it is drawn: line breaks visible, no markup for plotly to swallow."""
    text = token.replace("\n", "↵").replace("\t", "→").replace("\r", "")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def lay_out(tokens: Sequence[str], columns: int) -> list[Cell]:
    """Place tokens line by line; the page's edge ends a line, and so does a line break past its middle.

    Earlier line breaks are only shown, so that a prompt of many short lines stays on one page.
    """
    cells: list[Cell] = []
    line = column = 0
    for token in tokens:
        width = max(len(token), 1)
        if column and column + width > columns:
            line, column = line + 1, 0
        cells.append(Cell(line, column, width, shown(token)))
        column += width
        if "\n" in token and column > columns // 2:
            line, column = line + 1, 0
    return cells


def kind_runs(cells: Sequence[Cell], kinds: Sequence[str], label_scale: float = 0.8) -> list[KindRun]:
    """Runs of one kind per line, labelled where they have words and the label does not hit the one before it.

    Args:
        cells: tokens as ``lay_out`` placed them.
        kinds: of each token.
        label_scale: width of a label's character relative to that of the text.
    """
    spans: list[tuple[int, int, int, str, str]] = []
    for cell, kind in zip(cells, kinds, strict=True):
        end = cell.column + cell.width
        if spans and spans[-1][0] == cell.line and spans[-1][3] == kind:
            spans[-1] = (cell.line, spans[-1][1], end, kind, spans[-1][4] + cell.text)
        else:
            spans.append((cell.line, cell.column, end, kind, cell.text))
    runs: list[KindRun] = []
    taken = (-1, 0.0)
    for line, start, end, kind, text in spans:
        free = taken[0] != line or taken[1] <= start
        label = kind if free and text.strip(" ↵") else ""
        if label:
            taken = (line, start + label_scale * (len(label) + 1))
        runs.append(KindRun(line, start, end, kind, label))
    return runs
