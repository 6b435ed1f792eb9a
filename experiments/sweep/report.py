"""The table over models, and the figure of it."""

from collections.abc import Sequence
from pathlib import Path

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from experiments.sweep.compared import Compared, compared, stated
from experiments.sweep.draw import over_models
from experiments.sweep.settings import SweepSettings
from pkv_interp.errors import PkvError, suggestion
from pkv_interp.plots.save import find_browser, save_html, save_png
from pkv_interp.records import RunRecord, load_records

_WIDEST = 100_000
_HELD_BACK = "FAILED: the model failed the competence gate, and figures about its mechanism are held back."


def report(settings: SweepSettings) -> None:
    """Print a table per experiment, name the runs that did not succeed, and draw a figure per experiment.

    Raises:
        PkvError: there is no record to tell of, or none states a headline that is wanted.
    """
    out = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    aside = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
    for experiment, columns in _chosen(settings).items():
        for part in _parts(columns, settings.headlines, out.width if out.is_terminal else None):
            _print(out, experiment, part, settings.headlines)
        if any(column.failed for column in columns):
            out.print(_HELD_BACK)
        out.print()
        _draw(aside, settings, experiment, columns)
    for record in _unfinished(settings):
        line = record.error or "it was begun and has not ended"
        aside.print(f"{record.experiment} on {record.subject}: {record.status}: {line}")


def _chosen(settings: SweepSettings) -> dict[str, list[Compared]]:
    """By experiment the records to tell of.

    Raises:
        PkvError: there is none.
    """
    found = load_records(settings.results_dir, experiment=settings.experiment)
    kept = [record for record in found if settings.models is None or record.model_name in settings.models]
    have = list(dict.fromkeys(record.model_name for record in found))
    absent = [name for name in settings.models or () if name not in have]
    if absent or not kept:
        what = f" of {settings.experiment}" if settings.experiment else ""
        on = f" on {', '.join(absent)}" if absent else ""
        hint = suggestion(absent[0], have) if absent and have else "sweep an experiment with --multirun first"
        raise PkvError(f"{settings.results_dir} has no finished record{what}{on}", hint)
    groups: dict[str, list[RunRecord]] = {}
    for record in kept:
        groups.setdefault(record.experiment, []).append(record)
    columns = {name: compared(group) for name, group in groups.items()}
    if settings.experiment is not None:
        return columns
    # What was run once was not swept; where nothing was, all is told.
    return {name: group for name, group in columns.items() if len(group) > 1} or columns


def _unfinished(settings: SweepSettings) -> list[RunRecord]:
    """Records of runs that failed, or have not ended."""
    return [
        record
        for record in load_records(settings.results_dir, status=("error", "started"))
        if settings.experiment in (None, record.experiment)
        and (settings.models is None or record.model_name in settings.models)
    ]


def _parts(
    columns: Sequence[Compared], headlines: Sequence[str] | None, width: int | None
) -> list[list[Compared]]:
    """Models in as many tables as a terminal of that width needs; one where the width does not matter."""
    if width is None:
        return [list(columns)]
    names = list(stated(columns, headlines))
    room = width - max(map(len, (*names, "competence gate"))) - 4
    parts: list[list[Compared]] = [[]]
    taken = 0
    for column in columns:
        needed = 3 + max(len(column.label), len(column.gate), *(len(column.cell(name)) for name in names))
        if parts[-1] and taken + needed > room:
            parts.append([])
            taken = 0
        parts[-1].append(column)
        taken += needed
    return parts


def _print(
    out: Console, experiment: str, columns: Sequence[Compared], headlines: Sequence[str] | None
) -> None:
    table = Table(box=MARKDOWN)
    for heading in (experiment, *(column.label for column in columns)):
        table.add_column(heading, no_wrap=True)
    table.add_row("competence gate", *(column.gate for column in columns))
    for name in stated(columns, headlines):
        table.add_row(name, *(column.cell(name) for column in columns))
    # As wide as it is: what is cut off would be lost in a file or a pipe.
    wide = Console(file=out.file, width=_WIDEST, soft_wrap=True)
    wide.print(table, width=wide.measure(table).maximum)


def _draw(aside: Console, settings: SweepSettings, experiment: str, columns: Sequence[Compared]) -> None:
    folder = Path(settings.output_dir, experiment)
    figure = over_models(experiment, columns, settings.headlines)
    (page,) = save_html({"over_models": figure}, folder)
    aside.print(f"drawn: {page}")
    if not settings.png:
        return
    browser = find_browser()
    place = {page.with_suffix(".png"): figure}
    trouble = save_png(place, browser, scale=settings.scale) if browser else "no Chromium or Chrome was found"
    if trouble:
        aside.print(f"HTML only, PNG left out: {trouble}")
