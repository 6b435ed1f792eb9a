"""A page for each record: its headlines and tables with a place for every number that a text cites."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

from experiments.site.figures import Drawn
from experiments.site.links import place, safe
from experiments.site.pages import Rendered, figure_html
from pkv_interp.records import RunRecord
from pkv_interp.records.cited import Citation

#: Of a longer table the first lines are shown, and those that a text cites; the record has the rest.
MOST_LINES, FIRST_LINES = 14, 3
#: A prompt's words are read from one end to the other: in records of one prompt that table is whole.
WORDS = ("prompt", "tokens")
#: Of a long text in a cell only its beginning is shown.
_LONGEST = 120


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    text = "-" if value is None else str(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _row(cells: Iterable[Any], name: str = "") -> str:
    inside = "".join(f"<td>{html.escape(_text(cell))}</td>" for cell in cells)
    return f'<tr id="{name}">{inside}</tr>' if name else f"<tr>{inside}</tr>"


def _table(header: Iterable[str], rows: Iterable[str], label: str) -> str:
    head = "".join(f'<th scope="col">{html.escape(name.replace("_", " "))}</th>' for name in header)
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{html.escape(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>\n"
    )


def _facts(record: RunRecord, path: str) -> str:
    env = record.environment
    facts = {
        "file": path,
        "model": record.model_name,
        "made": f"{record.started_at:%Y-%m-%d}",
        "seconds": f"{record.seconds or 0:.0f} of work",
        "seed": str(record.seed),
        "machine": f"{env.platform}, {env.dtype or '-'}, {env.threads or '-'} thread(s)",
        "commit": env.commit[:12],
        "key": record.key[:12],
    }
    lines = "".join(
        f"<dt>{name}</dt><dd><code>{html.escape(value)}</code></dd>" for name, value in facts.items()
    )
    asked = "\n".join(f"{k}={v}" for k, v in record.config.items() if k != "model" and v is not None)
    return (
        f'<dl class="facts">{lines}</dl><details><summary>Settings</summary><pre class="code" tabindex="0">'
        f"{html.escape(asked)}</pre></details>\n"
    )


def _gate(record: RunRecord) -> str:
    gate = record.competence
    if gate is None:
        return ""
    passed = "passed" if gate.passed else "not passed: figures show a route of influence and no conclusion"
    sides = ", ".join(f"{side} {value:.2f}" for side, value in gate.per_value.items())
    basis = f" Figures are over {html.escape(gate.basis)}." if gate.basis else ""
    return f"<p>Competence: {gate.accuracy.value:.3f} ({html.escape(sides)}), {passed}.{basis}</p>\n"


def _headlines(record: RunRecord) -> str:
    rows = [
        _row(
            (
                name,
                figure.value,
                figure.ci_low,
                figure.ci_high,
                figure.n_families,
                figure.n_instances,
                figure.what,
            ),
            place(f"/headline/{name}/value"),
        )
        for name, figure in record.headline.items()
    ]
    header = ("headline", "value", "ci low", "ci high", "families", "instances", "what")
    return f'<h2 id="headlines">Headlines</h2>\n{_table(header, rows, "headlines")}' if rows else ""


def _tables(record: RunRecord, cited: set[str]) -> str:
    made = []
    for name, lines in record.tables.items():
        whole = len(lines) <= MOST_LINES or (record.experiment, name) == WORDS
        rows = []
        for i, line in enumerate(lines):
            at = f"/tables/{name}/{i}/"
            if at in cited:  # links lead to these alone
                rows.append(_row(line.values(), place(at)))
            elif whole or i < FIRST_LINES:
                rows.append(_row(line.values()))
        told = f"{len(lines)} lines" + (f", {len(rows)} of them here" if len(rows) < len(lines) else "")
        body = _table(lines[0], rows, f"table {name}") if rows else ""
        made.append(
            f'<details id="{safe(f"tables-{name}")}"><summary>{html.escape(name)} <span>({told})</span>'
            f"</summary>{body}</details>\n"
        )
    return f'<h2 id="tables">Tables</h2>\n{"".join(made)}' if made else ""


def _controls(record: RunRecord) -> str:
    rows = [_row((c.name, c.value, c.expected, c.tolerance, c.passed, c.detail)) for c in record.controls]
    if not rows:
        return ""
    table = _table(("control", "value", "expected", "tolerance", "passed", "detail"), rows, "controls")
    return (
        f'<h2 id="controls">Controls</h2>\n<details><summary>{len(rows)} checks with known answers</summary>'
        f"{table}</details>\n"
    )


def record_body(
    record: RunRecord, path: str, drawn: Mapping[str, Drawn], cited: Iterable[Citation]
) -> Rendered:
    """A record as a page.

    Args:
        record: the record.
        path: of its file, from the repository's root.
        drawn: its figures by name.
        cited: numbers of it that texts cite, so that their lines have to be there.
    """
    title = f"{record.experiment}: {record.subject}"
    fields = {one.field.rpartition("/")[0] + "/" for one in cited}
    figures = "".join(figure_html(one, "../", alt=name) for name, one in drawn.items())
    body = (
        f"<h1>{html.escape(title)}</h1>\n{_facts(record, path)}{_gate(record)}{_headlines(record)}"
        + (f'<h2 id="figures">Figures</h2>\n{figures}\n' if figures else "")
        + _tables(record, fields)
        + _controls(record)
    )
    names = [
        ("headlines", "Headlines"),
        ("figures", "Figures"),
        ("tables", "Tables"),
        ("controls", "Controls"),
    ]
    toc = [(2, name, text) for name, text in names if f'id="{name}"' in body]
    return Rendered(title, body, toc, drawn={one.name for one in drawn.values()})


def index_body(records: Iterable[tuple[RunRecord, str, str]]) -> Rendered:
    """All records with what they are of.

    Args:
        records: each with its page, from the page of the list, and the path of its file.
    """
    rows = []
    for record, page, path in records:
        gate = "-" if record.competence is None else "passed" if record.competence.passed else "not passed"
        link = f'<a href="{page}">{html.escape(record.subject)}</a>'
        cells = (f"{record.started_at:%Y-%m-%d}", gate, len(record.headline), path)
        inside = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        rows.append(f"<tr><td>{html.escape(record.experiment)}</td><td>{link}</td>{inside}</tr>")
    header = ("experiment", "record of", "made", "competence", "headlines", "file")
    return Rendered("Records", f"<h1>Records</h1>\n{_table(header, rows, 'records')}", [])
