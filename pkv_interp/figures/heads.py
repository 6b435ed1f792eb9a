"""Which heads read the notes at the decision, and which write them."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.plots.tables import entitle, sample_of, sample_of_split, table
from pkv_interp.plots.theme import DIVERGING, INK
from pkv_interp.records import RunRecord

_PANELS = (
    ("read_heads", "held_out", "read: output at the decision token, scored on held-out families"),
    ("write_heads", "joint", "write: output at all aggregators during prefill, on discovery families"),
)


_BAR_TITLE = {"text": "recovery", "font": {"size": 13}}


def grid(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """A table of heads as a grid: heads are the index, layers the columns."""
    return frame.pivot(index="head", columns="layer", values=value)


def head_heatmap(record: RunRecord, *, mark: int = 12) -> go.Figure:
    """Recovery when one head's output is patched: read heads above, write heads below, layer by head.

    Args:
        mark: this many heads, ranked first on discovery families, get a ring.
    """
    frames = [table(record, name) for name, _, _ in _PANELS]
    n_heads = int(frames[0]["head"].to_numpy().max()) + 1
    n_layers = int(frames[0]["layer"].to_numpy().max()) + 1
    cell = 18 if n_heads <= 16 else 11
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.13, subplot_titles=[p[2] for p in _PANELS]
    )
    for row, (frame, (_, value, _)) in enumerate(zip(frames, _PANELS, strict=True), start=1):
        cells = grid(frame, value)
        reach = max(float(np.nanmax(np.abs(cells.to_numpy()))), 1e-9)
        figure.add_heatmap(
            z=cells.to_numpy(),
            x=cells.columns,
            y=cells.index,
            colorscale=DIVERGING,
            zmin=-reach,
            zmax=reach,
            xgap=1,
            ygap=1,
            colorbar={"len": 0.46, "y": 0.785 if row == 1 else 0.215, "title": _BAR_TITLE, "thickness": 14},
            hovertemplate="layer %{x}, head %{y}<br>recovery %{z:.3f}<extra></extra>",
            row=row,
            col=1,
        )
        first = frame[frame["rank"] <= mark]
        figure.add_scatter(
            x=first["layer"],
            y=first["head"],
            mode="markers",
            marker={"symbol": "circle-open", "size": cell * 0.55, "color": INK, "line": {"width": 1.5}},
            name=f"first {mark} on discovery families",
            showlegend=row == 1,
            hoverinfo="skip",
            row=row,
            col=1,
        )
    step = 1 if n_heads <= 16 else 4
    figure.update_yaxes(range=[n_heads - 0.5, -0.5], dtick=step, title="head", showgrid=False)
    figure.update_xaxes(dtick=1 if n_layers <= 20 else 2, showgrid=False, range=[-0.5, n_layers - 0.5])
    figure.update_xaxes(title="layer", row=2, col=1)
    figure.update_annotations(x=0, xanchor="left", font_size=13)
    figure.update_layout(
        height=max(500, 2 * n_heads * cell + 190),
        margin={"t": 115},
        legend={"x": 1.0, "xanchor": "right", "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
    )
    held_out = sample_of_split(record, "held_out")
    discovery = sample_of(table(record, "write_sample"), "discovery")
    return entitle(figure, record, "Recovery of single heads", f"read: {held_out}; write: {discovery}")
