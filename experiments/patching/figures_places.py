"""Where in the notes and at which depth: layers, labels, regions, single cells."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.patching.tables import GridExample, Layer, Position, TokenClass, TokenKind
from pkv_interp.plots.curves import INTERVALS, Line, band
from pkv_interp.plots.strip import mark_words
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, DIVERGING, GREY, INK, ORANGE, SKY
from pkv_interp.plots.words import KIND_COLOURS, shown
from pkv_interp.records import RunRecord

_PARTS = {"K": ("keys only", SKY, "dot"), "V": ("values only", ORANGE, "dash"), "KV": ("both", BLUE, "solid")}
#: Families rank positions and are scored on different instances of theirs.
SCORED = "scored"


def layer_curves(record: RunRecord) -> go.Figure:
    """All notes patched in one layer at a time: keys, values and both; filled where max-T finds an effect."""
    frame = table(record, Layer)
    figure = go.Figure()
    figure.add_hline(y=0.0, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for part, (name, colour, dash) in _PARTS.items():
        mine = pick(frame, part=part).sort_values("layer")
        band(figure, mine["layer"].tolist(), mine, Line(name, colour, dash))
        found = mine.take(np.flatnonzero(mine["p_adjusted"].to_numpy(float) < 0.05).tolist())
        if len(found):
            figure.add_scatter(
                x=found["layer"],
                y=found["value"],
                mode="markers",
                marker={"size": 13, "symbol": "circle-open", "color": colour, "line": {"width": 2}},
                name=f"{name}: p < 0.05 over all layers",
                hoverinfo="skip",
            )
    figure.update_xaxes(title="layer", dtick=1 if len(set(frame["layer"])) <= 20 else 2)
    figure.update_yaxes(title=RECOVERY)
    figure.update_layout(legend={"x": 0.01, "y": 0.98, "font": {"size": 12}})
    sample = f"{sample_of(frame, SCORED)}; {INTERVALS}"
    return entitle(figure, record, "Notes patched one layer at a time", sample)


def position_bars(record: RunRecord, *, most: int = 16) -> go.Figure:
    """Single positions by label, keys, values and both; a star where max-T over labels finds an effect."""
    frame = table(record, Position)
    both = pick(frame, part="KV")
    size = both["value"].to_numpy(float)
    first = np.argsort(-np.abs(size), kind="stable")[:most]
    kept = both.take(first[np.argsort(size[first], kind="stable")].tolist())
    labels = kept["label"].tolist()
    starred = [
        f"{label} *" if p is not None and p < 0.05 else label
        for label, p in zip(labels, kept["p_adjusted"].tolist(), strict=True)
    ]
    figure = go.Figure()
    for part, (name, colour, _) in _PARTS.items():
        mine = pick(frame, part=part)
        mine = mine.take([mine["label"].tolist().index(label) for label in labels])
        bars = error_bars(mine, GREY) if part == "KV" else None
        figure.add_bar(
            x=mine["value"], y=starred, error_x=bars, orientation="h", name=name, marker_color=colour
        )
    figure.update_xaxes(title=f"mean single-position {RECOVERY}", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(title="position label (* p < 0.05, max-T)", automargin=True)
    figure.update_layout(
        legend={"traceorder": "reversed", "x": 0.99, "xanchor": "right", "y": 0.02},
        height=max(500, 24 * len(kept) + 160),
    )
    sample = f"{sample_of(frame, SCORED)}, the {len(kept)} largest labels; bars: 95 % over families"
    return entitle(figure, record, "Recovery by position label", sample)


def region_bars(record: RunRecord) -> go.Figure:
    """Single-position recoveries summed by region of the prompt and by kind of token."""
    kinds, classes = table(record, TokenKind), table(record, TokenClass)
    figure = make_subplots(
        rows=1, cols=2, horizontal_spacing=0.2, subplot_titles=["by region of the prompt", "by kind of token"]
    )
    for col, (frame, column) in enumerate(((kinds, "kind"), (classes, "token_class")), start=1):
        mine = frame.sort_values("value")
        names = [f"{n} ({p:.3g})" for n, p in zip(mine[column], mine["positions_per_prompt"], strict=True)]
        colours = [KIND_COLOURS.get(n, GREY) for n in mine[column]] if col == 1 else BLUE
        figure.add_bar(
            x=mine["value"],
            y=names,
            error_x=error_bars(mine, INK),
            orientation="h",
            marker={"color": colours, "line": {"color": GREY, "width": 0.5}},
            showlegend=False,
            row=1,
            col=col,
        )
    figure.update_xaxes(title="summed recovery", zeroline=True, zerolinecolor=GREY)
    figure.update_yaxes(automargin=True)
    figure.update_yaxes(title="region (positions in a prompt)", row=1, col=1)
    figure.update_annotations(font_size=13)
    figure.update_layout(margin={"t": 115})
    sample = f"{sample_of(kinds, SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Where single positions recover the decision", sample)


def grid_heatmap(record: RunRecord) -> go.Figure:
    """Every (layer, position) cell of one prompt, over the prompt's own words, regions coloured below."""
    frame = table(record, GridExample).sort_values("layer")
    cells = np.array(frame["recovery"].tolist(), float)
    words, kinds = list(frame["tokens"].iloc[0]), list(frame["kinds"].iloc[0])
    reach = max(float(np.abs(cells).max()), 1e-9)
    x = list(range(len(words)))
    figure = go.Figure(
        go.Heatmap(
            z=cells,
            x=x,
            y=frame["layer"],
            customdata=np.tile(np.array([shown(w) for w in words], dtype=object), (len(cells), 1)),
            colorscale=DIVERGING,
            zmin=-reach,
            zmax=reach,
            colorbar={"title": {"text": "recovery"}, "thickness": 14},
            hovertemplate="layer %{y}, '%{customdata}'<br>recovery %{z:.4f}<extra></extra>",
        )
    )
    mark_words(figure, words, kinds)
    figure.update_xaxes(title="notes in reading order")
    figure.update_yaxes(title="layer", showgrid=False, dtick=1 if len(cells) <= 20 else 5)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 150, "b": 120},
        height=590,
    )
    part = {"K": "keys", "V": "values", "KV": "keys and values"}[frame["part"].iloc[0]]
    return entitle(
        figure,
        record,
        f"Every layer and position alone: {part} patched",
        f"one prompt ({frame['instance'].iloc[0]}), {cells.size} patches",
    )
