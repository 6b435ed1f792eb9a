"""Figures of one prompt: its cells, its heads, its edits."""

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from experiments.prompt.tables import EditLine, LayerCells, LayerHeads, Prompt
from pkv_interp.plots.strip import mark_words
from pkv_interp.plots.tables import RECOVERY, entitle, table
from pkv_interp.plots.theme import BLUE, DIVERGING, GREY, LEGEND_ABOVE, ORANGE
from pkv_interp.plots.words import shown
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import rows_of
from pkv_interp.run.tokens import Token


def _heatmap(cells: Float[np.ndarray, "rows columns"], told: str, **options: object) -> go.Figure:
    reach = max(float(np.abs(cells).max()), 1e-9)
    return go.Figure(
        go.Heatmap(
            z=cells,
            colorscale=DIVERGING,
            zmin=-reach,
            zmax=reach,
            colorbar={"title": {"text": "recovery"}, "thickness": 14},
            hovertemplate=told + "<br>recovery %{z:.3f}<extra></extra>",
            **options,
        )
    )


def _about(record: RunRecord) -> str:
    (line,) = rows_of(record, Prompt)
    return f"one prompt ({line.instance}), {line.field} from {line.old} to {line.new}"


def cells(record: RunRecord) -> go.Figure:
    """Every layer and position of the notes alone, over the prompt's own words."""
    frame = table(record, LayerCells).sort_values("layer")
    values = np.array(frame["recovery"].tolist(), float)
    tokens = sorted(rows_of(record, Token), key=lambda token: token.position)
    first = max(token.position for token in tokens if token.changed) + 1
    notes = tokens[first : first + values.shape[1]]
    words = [shown(token.token) for token in notes]
    figure = _heatmap(
        values, "layer %{y}, '%{customdata}'", customdata=np.tile(np.array(words, object), (len(values), 1))
    )
    mark_words(figure, [token.token for token in notes], [token.kind for token in notes])
    figure.update_xaxes(title="words after the field")
    figure.update_yaxes(title="layer", showgrid=False)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 150, "b": 120},
        height=590,
    )
    return entitle(figure, record, "Every layer and position alone", _about(record))


def heads(record: RunRecord) -> go.Figure:
    """Every head's output at the decision token, put in alone."""
    frame = table(record, LayerHeads).sort_values("layer")
    figure = _heatmap(np.array(frame["recovery"].tolist(), float).T, "layer %{x}, head %{y}")
    figure.update_xaxes(title="layer", showgrid=False)
    figure.update_yaxes(title="head", showgrid=False, autorange="reversed", dtick=1)
    return entitle(figure, record, "Every head at the decision alone", _about(record))


def edits(record: RunRecord) -> go.Figure:
    """How far each edit moves the decision, and the share of a full re-prefill's tokens that it runs."""
    frame = table(record, EditLine)
    figure = go.Figure()
    figure.add_bar(x=frame["method"], y=frame["recovery"], name="decision moved", marker_color=BLUE)
    figure.add_bar(x=frame["method"], y=frame["share"], name="tokens run", marker_color=ORANGE)
    figure.add_hline(y=1.0, line={"color": GREY, "dash": "dot"})
    figure.update_xaxes(automargin=True)
    figure.update_yaxes(title=f"{RECOVERY}, share of tokens")
    figure.update_layout(legend=LEGEND_ABOVE, margin={"t": 130, "b": 110})
    return entitle(figure, record, "What each edit decides and runs", _about(record))


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"cells": cells, "heads": heads, "edits": edits}
