"""Markdown tables from records."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.docs.audited import remark
from pkv_interp.errors import PkvError
from pkv_interp.plots.tables import NOT_COMPETENT, competent
from pkv_interp.records import RunRecord, beside_published
from pkv_interp.run.right_pairs import RightPairs

Records = Mapping[tuple[str, str], RunRecord]
#: The audit of the published records that figures stand beside.
AUDIT = ("audit", "published")
#: Tables about all pairs that were tried.
UNSELECTED = ("competence", "screen")
#: Figures of fewer families, and intervals that are wider, say little: they are marked.
FEWEST, WIDEST = 6, 0.5
WEAK = "\\*"
#: Columns in units of their own, whose intervals have no width that is much or little.
_UNITS = re.compile(r"latency|kl\b|kl_|seconds|_ms|margin|norm|loss|logit", re.IGNORECASE)
_NOTE = f"\n\n{WEAK} fewer than {FEWEST} families, or an interval over {WIDEST:g} wide."
_MARKED = re.compile(r"<!-- (headlines|table) ([^>]*?) -->\n.*?<!-- end -->", re.DOTALL)


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    rows = [header, ["---"] * len(header), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def headlines(record: RunRecord, options: Sequence[str], audit: RunRecord | None = None) -> str:
    """Headlines with intervals and words, beside what was published for them where that is asked for.

    Args:
        record: whose headlines they are.
        options: names of headlines, none for all, and ``published``.
        audit: what was found of the published figures' records; None to say nothing of it.

    Raises:
        PkvError: the record states no headline of a name that is asked for.
    """
    names = [name for name in options if name != "published"] or list(record.headline)
    missing = [name for name in names if name not in record.headline]
    if missing:
        raise PkvError(f"{record.path} states no headline '{missing[0]}'", "take it out of the table")
    beside = beside_published(record) if "published" in options else {}
    models = list(dict.fromkeys(figure.model for name in names for figure in beside.get(name, [])))
    header = ["headline", "ours [95 %]", *models, "what"]
    lines = []
    for name in names:
        figure = record.headline[name]
        theirs = [
            ", ".join(f"{one.value:.3f}" for one in beside.get(name, []) if one.model == model) or "-"
            for model in models
        ]
        bounded = not (figure.low == 0.0 and figure.high is None)
        ends = figure.ci_low, figure.ci_high
        known = _with_interval(figure.value, ends, figure.n_families, share=bounded)
        ours = str(figure) if None in ends else known
        lines.append([f"`{name}`", ours, *theirs, figure.what])
    shown = [figure for name in names for figure in beside.get(name, [])]
    audited = remark(shown, audit) if audit is not None else ""
    return _noted(markdown(header, lines)) + _basis(record) + audited


def table(record: RunRecord, options: Sequence[str]) -> str:
    """Columns of one of the record's tables, of all lines or of those that have the values asked for.

    Raises:
        PkvError: the record has no such table or column, or no line has these values.
    """
    name, *rest = options
    wanted = [option.split(":", 1) for option in rest if ":" in option]
    lines = [
        line
        for line in record.tables.get(name, ())
        if all(_cell(line, column) == value for column, value in wanted)
    ]
    if not lines:
        of = "".join(f" with {column} {value}" for column, value in wanted)
        raise PkvError(f"{record.path} has no table '{name}'{of}", "take it out of the document")
    asked = [option.partition("=") for option in rest if ":" not in option]
    header = [title or column.removesuffix("+ci") for column, _, title in asked]
    body = markdown(
        [title.replace("_", " ") for title in header],
        [[_cell(line, column) for column, _, _ in asked] for line in lines],
    )
    if name == RightPairs.table and not competent(record):
        # Headlines of such a model are held back, and here they stand.
        return f"{_noted(body)}\n\n{NOT_COMPETENT.capitalize()}."
    return _noted(body) if name in UNSELECTED else _noted(body) + _basis(record)


def _basis(record: RunRecord) -> str:
    """A line under a table that says on which pairs its figures are; nothing where they are unselected."""
    basis = record.competence.basis if record.competence is not None else ""
    return f"\n\nMechanism figures are over {basis}." if basis else ""


def _cell(line: Mapping[str, Any], column: str) -> str:
    name = column.removesuffix("+ci")
    if name not in line:
        raise PkvError(f"the table has no column '{name}'", f"choose from {', '.join(line)}")
    text = _text(line[name])
    if name == column:
        return text
    prefix = "" if name == "value" else f"{name}_"
    ends = line[f"{prefix}ci_low"], line[f"{prefix}ci_high"]
    families = line.get(f"{prefix}n_families", line.get("n_families"))
    return _with_interval(line[name], ends, families, share=_is_share(line, name))


def _is_share(line: Mapping[str, Any], name: str) -> bool:
    """Whether a column holds shares or recoveries: what is lost of a margin is in logits."""
    return "margin" not in line and not _UNITS.search(name)


def _with_interval(
    value: float | None, ends: tuple[float | None, float | None], n_families: int | None, *, share: bool
) -> str:
    """A figure with its interval, marked where it says little.

    An interval without width says that this sample shows no spread, as of an identity, and is not printed.

    Args:
        value: the figure.
        ends: of its interval; None where there is none.
        n_families: that it is over; None where it is not told.
        share: it is a share or a recovery, so that half of its range is a wide interval.
    """
    low, high = ends
    if low is None or high is None:
        return _text(value)
    text = f"{_text(value)} (no spread)" if low == high else f"{_text(value)} [{_text(low)}, {_text(high)}]"
    few = n_families is not None and n_families < FEWEST
    return f"{text} {WEAK}" if few or (share and high - low > WIDEST) else text


def _noted(body: str) -> str:
    """A table with the meaning of the mark under it, where one stands in it."""
    return body + _NOTE if f" {WEAK} |" in body else body


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}"
    return "-" if value is None else str(value)


def filled(document: str, records: Records) -> str:
    """The document with every marked table made anew.

    Raises:
        PkvError: a marker names a record, headline, table or column that does not exist.
    """

    def fill(found: re.Match[str]) -> str:
        kind, words = found[1], found[2].split()
        if len(words) < 2 or (words[0], words[1]) not in records:
            raise PkvError(
                f"there is no record for '{found[2]}'", "run the experiment, or correct the marker"
            )
        record, options = records[words[0], words[1]], words[2:]
        body = (
            headlines(record, options, records.get(AUDIT)) if kind == "headlines" else table(record, options)
        )
        return f"<!-- {kind} {found[2]} -->\n{body}\n<!-- end -->"

    return _MARKED.sub(fill, document)
