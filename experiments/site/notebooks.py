"""Notebooks, run from top to bottom, as pages with their outputs."""

import html
import os
import re
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from experiments.site.figures import Figures
from experiments.site.pages import TABLE, Rendered, Sources, coloured, figure_html, render
from pkv_interp.errors import PkvError

_PLOTLY = "application/vnd.plotly.v1+json"
#: Longest run of one cell; on a slow or busy machine those that load a model take many minutes.
_SECONDS = 3600
#: A notebook whose code has this loads a model.
_LOADS = "pkv_interp.models.load"
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def loads_a_model(path: Path) -> bool:
    """Whether a notebook loads a model, and so takes minutes and may have to fetch one."""
    return _LOADS in path.read_text(encoding="utf-8")


def run(path: Path, results: Path, root: Path) -> Any:
    """A notebook with its outputs.

    Raises:
        PkvError: what runs notebooks is not installed, or a cell of it fails.
    """
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError
    except ImportError as error:
        raise PkvError(f"{error.name} is not installed", "run `make setup`, or set notebooks=none") from error
    notebook = nbformat.read(path, as_version=4)
    given = {**os.environ, "PKV_RESULTS": str(results.absolute()), "PYTHONPATH": str(root)}
    client = NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(root)}}
    )
    try:
        client.execute(env=given)
    except CellExecutionError as error:
        last = _ESCAPES.sub("", str(error)).strip().splitlines()[-1]
        raise PkvError(f"{path} fails: {last}", "run it in Jupyter, or set notebooks=none") from error
    except CellTimeoutError as error:
        raise PkvError(
            f"a cell of {path} takes more than {_SECONDS} s",
            "run it on an idle machine, or set notebooks=records",
        ) from error
    return notebook


def unrun(path: Path) -> Any:
    """A notebook as it is stored, without outputs."""
    import nbformat

    return nbformat.read(path, as_version=4)


def notebook_body(
    notebook: Any, document: str, sources: Sources, figures: Figures, *, was_run: bool
) -> Rendered:
    """A notebook as a page.

    Args:
        notebook: with its outputs, where it was run.
        document: its path from the repository's root.
        sources: records, figures and pages.
        figures: where its own figures are kept.
        was_run: whether it was; a page of one that was not says so.
    """
    whole = Rendered(document, "", [])
    parts = []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            made = render(_without_formulas(cell.source), document, sources, "../")
            whole.title = made.title if made.title != document else whole.title
            whole.toc += made.toc
            parts.append(made.body)
        elif cell.cell_type == "code":
            parts.append(
                f'<details class="cell"><summary>Code</summary>{coloured(cell.source, "python")}</details>\n'
            )
            parts += [_output(out, figures, whole) for out in cell.get("outputs", [])]
    told = (
        "" if was_run else '<p class="note">This notebook loads a model and was not run for this page.</p>\n'
    )
    whole.body = _after_title("".join(parts), told)
    return whole


def _after_title(body: str, told: str) -> str:
    head, end, rest = body.partition("</h1>")
    return f"{head}{end}\n{told}{rest}" if end else told + body


def _without_formulas(text: str) -> str:
    """Formulas as code: a typesetter for a few of them would weigh more than they do."""
    return re.sub(r"^\$\$(.*?)\$\$$", r"```text\n\1\n```", text, flags=re.MULTILINE | re.DOTALL)


def _output(out: Any, figures: Figures, whole: Rendered) -> str:
    """An output of a cell as HTML."""
    if out.output_type == "stream":
        return f'<pre class="output" tabindex="0">{html.escape(_ESCAPES.sub("", out.text))}</pre>\n'
    data = out.get("data", {})
    if _PLOTLY in data:
        drawn = figures.add(go.Figure({k: data[_PLOTLY][k] for k in ("data", "layout")}, skip_invalid=True))
        whole.drawn.add(drawn.name)
        return figure_html(drawn, "../") + "\n"
    if "text/html" in data and "<table" in data["text/html"]:
        inside = re.sub(r"<style.*?</style>", "", data["text/html"], flags=re.DOTALL)
        return re.sub(r"<table[^>]*>", TABLE, inside).replace("</table>", "</table></div>") + "\n"
    if "text/plain" in data:
        return f'<pre class="output" tabindex="0">{html.escape(data["text/plain"])}</pre>\n'
    return ""
