"""Figures as small scripts that one shared plotly draws when they come into view."""

import base64
import gzip
import hashlib
import html
import json
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
from plotly.offline import get_plotlyjs

from pkv_interp.plots.tables import NOT_COMPETENT
from pkv_interp.plots.theme import TEMPLATE
from pkv_interp.records import RunRecord
from pkv_interp.records.tables import TableAbsent

#: Digits of a number in a figure: a pixel shows fewer.
_DIGITS = 4
#: Height of what a page tells in its own caption: title and sample, that the model is not competent, a basis.
_TITLE, _WARNING, _LINE = 60, 22, 20
#: From so many tick labels on a figure is not squeezed into a narrow page but scrolled.
_MANY_TICKS = 16
#: And from so many cells with words in them beside one another.
_MANY_WORDS = 5


@dataclass(frozen=True)
class Drawn:
    """A figure as a page refers to it.

    Attributes:
        name: of its script, by content: equal figures are stored once.
        title: what is measured.
        sample: on which model and how much.
        warning: what must be known of its model; "" for nothing.
        height: in pixels, without title.
        wide: it needs a page's whole width.
    """

    name: str
    title: str
    sample: str
    warning: str
    height: int
    wide: bool


def _small(value: Any) -> Any:
    """The value with lists for arrays and few digits."""
    if isinstance(value, dict) and "bdata" in value:  # an array as plotly writes it into a notebook
        found = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
        shape = str(value.get("shape", len(found)))
        return _small(found.reshape([int(size) for size in shape.split(",")]))
    if isinstance(value, dict):
        return {key: _small(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return _small(value.tolist())
    if isinstance(value, list | tuple):
        return [_small(inner) for inner in value]
    if isinstance(value, np.generic):
        return _small(value.item())
    if isinstance(value, float):
        short = float(f"{value:.{_DIGITS}g}")
        return None if not np.isfinite(value) else int(short) if short.is_integer() else short
    return value


def _words(text: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).strip()


class Figures:
    """Every figure of the site by its name."""

    def __init__(self) -> None:
        self.scripts: dict[str, str] = {}

    def add(self, figure: go.Figure) -> Drawn:
        """Keep a figure without its title, which the page tells in words of its own."""
        whole = _small(figure.to_plotly_json())
        data, layout = whole["data"], whole["layout"]
        layout.pop("template", None)
        layout.pop("width", None)
        heading = layout.pop("title", None) or {}
        title = heading.get("text", "") or ""
        sample = (heading.get("subtitle") or {}).get("text", "") or ""
        warned = NOT_COMPETENT in title
        title = title.rpartition("<br>")[2] if warned else title
        taken = _TITLE + _WARNING * warned + _LINE * sample.count("<br>")
        margin = layout.setdefault("margin", {})
        before = margin.get("t", 85)
        margin["t"] = max(before - taken, 12) if title else before
        height = int(layout.pop("height", None) or 500) - (before - margin["t"])
        axes = [axis for name, axis in layout.items() if name.startswith("xaxis")]
        ticks = max((len(axis.get("ticktext") or ()) for axis in axes), default=0)
        told = [trace["z"] for trace in data if trace.get("texttemplate") and trace.get("z")]
        written = max((len(cells[0]) for cells in told), default=0)
        text = json.dumps({"data": data, "layout": layout}, separators=(",", ":"), ensure_ascii=False)
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.scripts[name] = f'pkvFigure("{name}","{packed(text)}");\n'
        wide = len(axes) > 1 or ticks >= _MANY_TICKS or written >= _MANY_WORDS
        return Drawn(name, _words(title), _words(sample), NOT_COMPETENT if warned else "", height, wide)

    def of(self, record: RunRecord) -> dict[str, Drawn]:
        """Every figure that a record can draw, by name."""
        # Here, and not above: it reaches the figures of every experiment.
        from experiments.figures.rooms import drawn_by

        drawn: dict[str, Drawn] = {}
        for name, draw in drawn_by(record.experiment).items():
            try:
                drawn[name] = self.add(draw(record))
            except TableAbsent:  # for example doses of own pairs, which have no rule to repeat
                continue
        return drawn


def packed(text: str) -> str:
    """A text as a page's script unpacks it.

    Whole, plotly takes four fifths of what the site may hold. A page in a folder may not fetch, so that what
    is packed has to be text in a script.
    """
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


@cache
def library() -> str:
    """Plotly and the template of our figures, as a script."""
    template = _small(pio.templates[TEMPLATE].to_plotly_json())
    for name in ("width", "height"):
        template["layout"].pop(name, None)
    told = json.dumps(template, separators=(",", ":"))
    return f'window.pkvTemplate={told};window.pkvPacked="{packed(get_plotlyjs())}";\n'
