"""From a record to the data frames and titles that figures are made of."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from pkv_interp.plots.theme import TEMPLATE, VERMILLION
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import TableRow, frame_of
from pkv_interp.run.screen_report import of_screen

#: What figures are of a model that failed the competence gate: stands in their titles and under their tables.
NOT_COMPETENT = "not competent: a route of influence, not how a right decision is made"
RECOVERY = "recovery (0 = corrupt, 1 = clean)"


@dataclass(frozen=True)
class Sample:
    """What a figure rests on."""

    n_families: int
    n_instances: int
    split: str

    def __str__(self) -> str:
        return f"{_count(self.n_families, self.split + ' family')}, {_count(self.n_instances, 'instance')}"


def _count(n: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{n} {noun if n == 1 else plural}"


def table(record: RunRecord, kind: type[TableRow]) -> pd.DataFrame:
    """One of the record's tables, with the columns of its row class.

    Raises:
        PkvError: the record has no such table, or an empty one.
    """
    return frame_of(record, kind)


def pick(frame: pd.DataFrame, **wanted: object) -> pd.DataFrame:
    """Lines whose columns have the wanted values, in their order."""
    keep = np.ones(len(frame), bool)
    for column, value in wanted.items():
        keep &= frame[column].to_numpy() == value
    return frame.take(np.flatnonzero(keep).tolist())


def estimates(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """One estimate of lines with several, under the names that intervals are drawn from.

    Args:
        frame: with the columns ``name``, ``name_ci_low`` and ``name_ci_high``.
        name: of the estimate.
    """
    columns = {name: "value", f"{name}_ci_low": "ci_low", f"{name}_ci_high": "ci_high"}
    return pd.DataFrame({new: frame[old].astype(float) for old, new in columns.items()})


def largest(frame: pd.DataFrame, column: str) -> int:
    """Largest number in a column of counts; empty cells do not count."""
    return int(frame[column].dropna().to_numpy().max())


def has_interval(frame: pd.DataFrame, prefix: str = "") -> bool:
    """Whether every line has an interval; a single family has none."""
    return bool(frame[f"{prefix}ci_low"].notna().to_numpy().all())


def error_bars(frame: pd.DataFrame, colour: str) -> dict[str, object] | None:
    """The intervals of a table of estimates as plotly's error bars, None where there are none."""
    if not has_interval(frame):
        return None
    above, below = frame["ci_high"] - frame["value"], frame["value"] - frame["ci_low"]
    return {"type": "data", "array": above, "arrayminus": below, "color": colour, "thickness": 1.5}


def sample_of(frame: pd.DataFrame, split: str) -> Sample:
    """The sample of a table of estimates: that of its largest line."""
    return Sample(
        int(frame["n_families"].to_numpy().max()), int(frame["n_instances"].to_numpy().max()), split
    )


def sample_of_split(record: RunRecord, split: str) -> Sample:
    """Families and instances of a split, counted in the record's rows.

    Args:
        record: whose rows are counted.
        split: as in the rows, ``"discovery"`` or ``"held_out"``.
    """
    seen: dict[str, set[str | int]] = {}
    for row in record.rows:
        if row.split == split and not of_screen(row):
            seen.setdefault(row.family, set()).add(row.instance)
    return Sample(len(seen), sum(map(len, seen.values())), split.replace("_", "-"))


def competent(record: RunRecord) -> bool:
    """Whether the model passed the gate; a record without one counts as competent."""
    return record.competence is None or record.competence.passed


def entitle(
    figure: go.Figure, record: RunRecord, measured: str, sample: Sample | str, *, gated: bool = False
) -> go.Figure:
    """Give a figure the template and a title: what was measured, on which model and on how much.

    A model that failed the competence gate gets a visible note above the title, unless the figure is
    ``gated``: it has left out itself what did not decide well enough, and says so.
    """
    text = f"<b>{measured}</b>"
    figure.update_layout(template=TEMPLATE)
    if not gated and not competent(record):
        text = f"<span style='color:{VERMILLION};font-size:14px'><b>{NOT_COMPETENT}</b></span><br>{text}"
        figure.update_layout(margin_t=(figure.layout.margin.t or 85) + 22, title_pad={"l": 16, "t": 24})
    basis = record.competence.basis if record.competence is not None else ""
    told = f"{record.subject} · {sample}"
    if basis:
        # One line more: after the sample it would reach beyond the figure.
        told = f"{record.subject} · {basis}<br>{sample}"
        figure.update_layout(margin_t=(figure.layout.margin.t or 85) + 20)
    figure.update_layout(title={"text": text, "subtitle": {"text": told}})
    return figure
