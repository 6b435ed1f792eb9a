"""Every figure of the records that are there."""

import re
from pathlib import Path

import plotly.graph_objects as go
from rich.console import Console

from experiments.figures.rooms import drawn_by
from experiments.figures.settings import FiguresSettings
from pkv_interp.errors import PkvError, suggestion
from pkv_interp.plots.save import find_browser, save_html, save_png
from pkv_interp.records import RunRecord, load_records, newest_of_each_model
from pkv_interp.records.tables import TableAbsent


def drawable(settings: FiguresSettings) -> list[RunRecord]:
    """The successes that figures are asked of.

    Raises:
        PkvError: there is none, or none of one of the models.
    """
    found = [record for record in load_records(settings.results_dir) if drawn_by(record.experiment)]
    chosen = [r for r in found if settings.models is None or r.model_name in settings.models]
    have = list(dict.fromkeys(record.model_name for record in found))
    absent = [name for name in settings.models or () if name not in have]
    if absent or not chosen:
        of = f" of {', '.join(absent)}" if absent else ""
        hint = suggestion(absent[0], have) if absent and have else "run `python -m experiments.circuit` first"
        raise PkvError(f"{settings.results_dir} has no finished record{of} to draw from", hint)
    return chosen


def figures(settings: FiguresSettings) -> None:
    """Draw every record's figures."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    pictures: dict[Path, go.Figure] = {}
    chosen, remarks = newest_of_each_model(drawable(settings))
    for remark in remarks:
        console.print(remark, markup=False)
    for record in chosen:
        folder = settings.output_dir / record.experiment / re.sub(r"[^A-Za-z0-9._-]", "-", record.subject)
        drawn: dict[str, go.Figure] = {}
        for name, draw in drawn_by(record.experiment).items():
            try:
                drawn[name] = draw(record)
            except TableAbsent as absent:  # for example doses of own pairs, which have no rule to repeat
                console.print(f"{name} left out: {absent.cause}", markup=False)
        save_html(drawn, folder)
        pictures |= {folder / f"{name}.png": figure for name, figure in drawn.items()}
        console.print(f"{folder}: {len(drawn)} figures from {record.path}", markup=False)
    if not settings.png:
        return
    browser = find_browser()
    trouble = (
        save_png(pictures, browser, scale=settings.scale) if browser else "no Chromium or Chrome was found"
    )
    if trouble:
        console.print(f"HTML only, PNG left out: {trouble}", markup=False)
