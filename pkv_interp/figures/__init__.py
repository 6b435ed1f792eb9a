"""Figures from records: one figure a function, a record in, a plotly figure out."""

from pkv_interp.figures.agent import agent_cost, agent_layouts, agent_phases, agent_success
from pkv_interp.figures.blast_radius import (
    blast_growth,
    blast_kinds,
    blast_map,
    blast_shares,
    deviation_effect,
)
from pkv_interp.figures.composing import (
    fidelity_bars,
    first_token_time,
    keystone_bars,
    seam_curve,
    transplant_growth,
    window_diagnosis,
)
from pkv_interp.figures.controls import specificity_curves, timing_curves
from pkv_interp.figures.curves import attention_share, faithfulness_curve, read_curve, write_curve
from pkv_interp.figures.editing import (
    frontier_lengths,
    frontier_scatter,
    horizon_curves,
    sweep_heatmap,
    wording_bars,
)
from pkv_interp.figures.gate import gate_accuracy, gate_mechanism
from pkv_interp.figures.heads import head_heatmap
from pkv_interp.figures.patching import (
    dose_curves,
    grid_heatmap,
    knockout_curves,
    layer_curves,
    position_bars,
    position_curves,
    region_bars,
    state_bars,
)
from pkv_interp.figures.screening import screening_scatter
from pkv_interp.figures.tokens import site_bars, token_bars, token_kinds, token_text
from pkv_interp.figures.weight_editing import weight_edit_bars
from pkv_interp.plots.save import find_browser, save_html, save_png
from pkv_interp.plots.tables import NOT_COMPETENT, table

__all__ = [
    "NOT_COMPETENT",
    "agent_cost",
    "agent_layouts",
    "agent_phases",
    "agent_success",
    "attention_share",
    "blast_growth",
    "blast_kinds",
    "blast_map",
    "blast_shares",
    "deviation_effect",
    "dose_curves",
    "faithfulness_curve",
    "fidelity_bars",
    "find_browser",
    "first_token_time",
    "frontier_lengths",
    "frontier_scatter",
    "gate_accuracy",
    "gate_mechanism",
    "grid_heatmap",
    "head_heatmap",
    "horizon_curves",
    "keystone_bars",
    "knockout_curves",
    "layer_curves",
    "position_bars",
    "position_curves",
    "read_curve",
    "region_bars",
    "save_html",
    "save_png",
    "screening_scatter",
    "seam_curve",
    "site_bars",
    "specificity_curves",
    "state_bars",
    "sweep_heatmap",
    "table",
    "timing_curves",
    "token_bars",
    "token_kinds",
    "token_text",
    "transplant_growth",
    "window_diagnosis",
    "wording_bars",
    "write_curve",
    "weight_edit_bars",
]
