"""Figure of the weight edits beside cache edits: what each does to its record, and to all else."""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from experiments.weight_edits.tables import WeightEdit
from pkv_interp.plots.tables import Sample, entitle, table
from pkv_interp.plots.theme import BLUE, GREY, ORANGE
from pkv_interp.records import RunRecord

#: Columns of the table ``weight_edit``, as panels.
PANELS: tuple[tuple[str, str], ...] = (
    ("success", "this record<br>follows the edit"),
    ("rephrased", "with the rule<br>in other words"),
    ("contamination", "other records<br>change with it"),
    ("collateral", "unrelated<br>decisions change"),
    ("latency_ms", "latency<br>(ms, log)"),
)
NAMES = {
    "field_erratum": "field refreshed and an erratum",
    "field_only": "field refreshed only",
    "rome_record": "ROME, keyed on the record",
    "rome_last_token": "ROME, keyed on the last token",
    "lora_statements": "LoRA, on the new value",
    "lora_action": "LoRA, on the action",
}
_COLOURS = {"cache": BLUE, "weights": ORANGE}


def weight_edit_bars(record: RunRecord) -> go.Figure:
    """Success, contamination, collateral and latency of every method, one row of bars per method."""
    frame = table(record, WeightEdit).iloc[::-1]
    labels = [NAMES.get(str(method), str(method)) for method in frame["method"]]
    figure = make_subplots(
        cols=len(PANELS),
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[title for _, title in PANELS],
    )
    for at, (column, _) in enumerate(PANELS, 1):
        values = frame[column]
        bars = None
        if frame[f"{column}_ci_low"].notna().to_numpy().all():
            bars = {
                "type": "data",
                "array": frame[f"{column}_ci_high"] - values,
                "arrayminus": values - frame[f"{column}_ci_low"],
                "color": GREY,
                "thickness": 1.5,
            }
        figure.add_bar(
            x=values,
            y=labels,
            orientation="h",
            error_x=bars,
            marker_color=[_COLOURS[str(kind)] for kind in frame["edits"]],
            showlegend=False,
            hovertemplate="%{y}: %{x:.3g}<extra></extra>",
            row=1,
            col=at,
        )
        if column == "latency_ms":
            figure.update_xaxes(type="log", dtick=1, row=1, col=at)
        else:
            figure.update_xaxes(range=[0.0, 1.05], tickvals=[0.0, 0.5, 1.0], row=1, col=at)
    figure.update_yaxes(title="method", row=1, col=1)
    for kind, colour in _COLOURS.items():
        figure.add_bar(
            x=[None], y=[labels[0]], orientation="h", name=f"edits the {kind}", marker_color=colour
        )
    figure.update_annotations(font_size=13)
    figure.update_layout(
        legend={"orientation": "h", "y": -0.14},
        margin={"l": 250, "t": 130, "b": 80},
        bargap=0.35,
        barmode="overlay",  # the bars of the legend take no room
        height=480,
        width=1050,
    )
    sample = Sample(
        int(frame["n_families"].to_numpy().max()), int(frame["n_instances"].to_numpy().max()), "scored"
    )
    return entitle(
        figure,
        record,
        "A changed field: edit the cache, or the weights?",
        f"{sample}; bars: 95 % over families",
    )


FIGURES: Mapping[str, Callable[[RunRecord], go.Figure]] = {"weight_edit": weight_edit_bars}
