"""Figures from records: one figure a function, a record in, a plotly figure out."""

from pkv_interp.figures.curves import attention_share, faithfulness_curve, read_curve, write_curve
from pkv_interp.figures.heads import head_heatmap
from pkv_interp.figures.save import find_browser, save_html, save_png
from pkv_interp.figures.screening import screening_scatter
from pkv_interp.figures.tables import NOT_COMPETENT, table
from pkv_interp.figures.tokens import site_bars, token_bars, token_kinds, token_text

__all__ = [
    "NOT_COMPETENT",
    "attention_share",
    "faithfulness_curve",
    "find_browser",
    "head_heatmap",
    "read_curve",
    "save_html",
    "save_png",
    "screening_scatter",
    "site_bars",
    "table",
    "token_bars",
    "token_kinds",
    "token_text",
    "write_curve",
]
