"""Which cached keys and values carry the decision: states, positions, layers, knockouts, doses."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from pkv_interp.figures.curves import band
from pkv_interp.plots.strip import mark_words
from pkv_interp.plots.tables import RECOVERY, entitle, error_bars, pick, sample_of, table
from pkv_interp.plots.theme import BLUE, DIVERGING, GREEN, GREY, INK, ORANGE, PURPLE, SKY, VERMILLION
from pkv_interp.plots.words import KIND_COLOURS, shown
from pkv_interp.records import RunRecord

_STATES = {
    "stale": "stale",
    "field_only": "field only",
    "notes_only": "notes only",
    "full_downstream": "field and notes",
    "oracle": "oracle",
}
_PARTS = {"K": ("keys only", SKY, "dot"), "V": ("values only", ORANGE, "dash"), "KV": ("both", BLUE, "solid")}
_SCORED = "scored"  # families rank and are scored on different instances of theirs
_RETAINED = "share of the gap between clean and stale left"


def _goal_lines(figure: go.Figure) -> None:
    for level in (0.0, 1.0):
        figure.add_hline(y=level, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")


def state_bars(record: RunRecord) -> go.Figure:
    """Recovery of the margin in each cache state, and how often the new value's action is chosen."""
    frame = table(record, "states")
    names = [_STATES.get(arm, arm) for arm in frame["arm"]]
    figure = go.Figure()
    _goal_lines(figure)
    figure.add_bar(
        x=names,
        y=frame["value"],
        error_y=error_bars(frame, INK),
        name="recovery of the margin",
        marker_color=BLUE,
    )
    rate = pd.DataFrame({end: frame[f"decides_new_{end}"] for end in ("ci_low", "ci_high")})
    rate["value"] = frame["decides_new"]
    figure.add_bar(
        x=names,
        y=rate["value"],
        error_y=error_bars(rate, INK),
        name="share that takes the new value's action",
        marker_color=ORANGE,
    )
    figure.update_xaxes(title="what the decision reads of the new value's cache")
    figure.update_yaxes(title=f"{RECOVERY}, or share")
    figure.update_layout(barmode="group", legend={"x": 0.01, "y": 0.98})
    sample = f"{sample_of(frame, _SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Decision recovery by cache state", sample)


def position_curves(record: RunRecord) -> go.Figure:
    """Growing sets of note positions: by rank against matched random sets, and from either end."""
    frame, ends = table(record, "k_curve"), table(record, "share_curve")
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    _goal_lines(figure)
    arms = (
        ("top", "by rank", BLUE, "solid"),
        ("random_region", "random, same region", GREY, "dash"),
        ("random_token_kind", "random, same token kind", PURPLE, "dot"),
    )
    for arm, name, colour, dash in arms:
        part = pick(frame, curve=arm).sort_values("k")
        band(figure, part["k"].tolist(), part, name=name, colour=colour, dash=dash, col=1)
    for side, name, colour in (("suffix", "last part", GREEN), ("prefix", "first part", ORANGE)):
        part = pick(ends, curve=side).sort_values("share")
        band(figure, part["share"].tolist(), part, name=name, colour=colour, col=2)
    sizes = sorted({int(k) for k in frame["k"]})
    figure.update_xaxes(
        type="log",
        tickvals=sizes,
        ticktext=[str(k) for k in sizes],
        title="positions patched (k)",
        row=1,
        col=1,
    )
    figure.update_xaxes(title="share of the notes patched", tickformat=".0%", row=1, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, _SCORED)}; bands: 95 % over families"
    return entitle(figure, record, "How many note positions carry the decision", sample)


def layer_curves(record: RunRecord) -> go.Figure:
    """All notes patched in one layer at a time: keys, values and both; filled where max-T finds an effect."""
    frame = table(record, "layers")
    figure = go.Figure()
    figure.add_hline(y=0.0, line={"color": GREY, "width": 1, "dash": "dot"}, layer="below")
    for part, (name, colour, dash) in _PARTS.items():
        mine = pick(frame, part=part).sort_values("layer")
        band(figure, mine["layer"].tolist(), mine, name=name, colour=colour, dash=dash)
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
    sample = f"{sample_of(frame, _SCORED)}; bands: 95 % over families"
    return entitle(figure, record, "Notes patched one layer at a time", sample)


def position_bars(record: RunRecord, *, most: int = 16) -> go.Figure:
    """Single positions by label, keys, values and both; a star where max-T over labels finds an effect."""
    frame = table(record, "positions")
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
    sample = f"{sample_of(frame, _SCORED)}, the {len(kept)} largest labels; bars: 95 % over families"
    return entitle(figure, record, "Recovery by position label", sample)


def region_bars(record: RunRecord) -> go.Figure:
    """Single-position recoveries summed by region of the prompt and by kind of token."""
    kinds, classes = table(record, "token_kinds"), table(record, "token_classes")
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
    sample = f"{sample_of(kinds, _SCORED)}; bars: 95 % over families"
    return entitle(figure, record, "Where single positions recover the decision", sample)


def grid_heatmap(record: RunRecord) -> go.Figure:
    """Every (layer, position) cell of one prompt, over the prompt's own words, regions coloured below."""
    frame = table(record, "grid_example").sort_values("layer")
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
        margin={"t": 120, "b": 120},
        height=560,
    )
    part = {"K": "keys", "V": "values", "KV": "keys and values"}[frame["part"].iloc[0]]
    return entitle(
        figure,
        record,
        f"Every layer and position alone: {part} patched",
        f"one prompt ({frame['instance'].iloc[0]}), {cells.size} patches",
    )


def knockout_curves(record: RunRecord) -> go.Figure:
    """What hiding positions from the decision leaves: growing shares of the notes, and whole spans."""
    frame, spans = table(record, "knockout_shares"), table(record, "knockout_spans")
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.24, column_widths=[0.55, 0.45])
    arms = (
        ("effect", "largest effect first", BLUE, "solid"),
        ("attention", "most attended first", VERMILLION, "dash"),
        ("random", "at random", GREY, "dot"),
    )
    for arm, name, colour, dash in arms:
        part = pick(frame, knockout=arm).sort_values("share")
        band(figure, part["share"].tolist(), part, name=name, colour=colour, dash=dash, col=1)
    kept = spans.iloc[::-1]
    figure.add_bar(
        x=kept["value"],
        y=kept["knockout"],
        error_x=error_bars(kept, INK),
        orientation="h",
        marker_color=SKY,
        showlegend=False,
        row=1,
        col=2,
    )
    figure.update_xaxes(title="share of the notes hidden", tickformat=".0%", row=1, col=1)
    figure.update_xaxes(title="gap left, whole span hidden", zeroline=True, zerolinecolor=GREY, row=1, col=2)
    figure.update_yaxes(title=_RETAINED, row=1, col=1)
    figure.update_yaxes(automargin=True, tickfont={"size": 11}, row=1, col=2)
    figure.update_layout(
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}},
        margin={"t": 130},
    )
    sample = f"{sample_of(frame, _SCORED)}; bands and bars: 95 % over families"
    return entitle(figure, record, "Attention knockout from the decision", sample)


def dose_curves(record: RunRecord) -> go.Figure:
    """Recovery of field-only and notes-only as fillers and statements of the rule grow."""
    frame = table(record, "dose")
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    _goal_lines(figure)
    panels = (("fillers", "neutral sentences in the prompt"), ("rules", "statements of the rule"))
    for col, (what, title) in enumerate(panels, start=1):
        for arm, colour, dash in (("notes_only", BLUE, "solid"), ("field_only", GREEN, "dash")):
            part = pick(frame, what=what, arm=arm).sort_values("amount")
            name = _STATES[arm]
            band(figure, part["amount"].tolist(), part, name=name, colour=colour, dash=dash, col=col)
        figure.update_xaxes(
            title=title, tickvals=sorted(set(pick(frame, what=what)["amount"])), row=1, col=col
        )
    figure.update_traces(showlegend=False, col=2)
    figure.update_yaxes(title=RECOVERY, row=1, col=1)
    figure.update_layout(legend={"x": 0.01, "y": 0.5})
    sample = f"{sample_of(frame, _SCORED)}; bands: 95 % over families"
    return entitle(figure, record, "Dose and response: length of the prompt, repetition of the rule", sample)
