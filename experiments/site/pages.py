"""Documents as pages: cited numbers, figures in the place of pictures, links between pages."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markdown_it import MarkdownIt
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from experiments.site.figures import Drawn
from experiments.site.links import anchor, cited_at, place, record_page, safe, target
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord
from pkv_interp.records.cited import Citation, replaced

_PICTURE = re.compile(
    r"^!\[([^\]]*)\]\((?:\.\./)*results/figures/([^/]+)/([^/]+)/([^/)]+)\.png\)$", re.MULTILINE
)
_TABLE = re.compile(r"<!-- (headlines|table) (\S+) (\S+) ?([^>]*?)-->\n(.*?)\n<!-- end -->", re.DOTALL)
#: A line of headlines: the name, and the record's number with its interval.
_HEADLINE = re.compile(r"^\| `([^`]+)` \| (-?\d[\d.,]*(?: \[[^\]|]*\])?)", re.MULTILINE)


@dataclass(frozen=True)
class Sources:
    """What pages are made from.

    Attributes:
        records: newest of each experiment and subject.
        drawn: their figures, by record and name.
        pages: documents and notebooks that are pages, by their path from the repository's root.
    """

    records: Mapping[tuple[str, str], RunRecord]
    drawn: Mapping[tuple[str, str], Mapping[str, Drawn]]
    pages: set[str]


@dataclass
class Rendered:
    """A page's body.

    Attributes:
        title: its first heading.
        body: HTML.
        toc: its further headings: level, place and text.
        cited: numbers that it cites.
        drawn: names of its figures.
    """

    title: str
    body: str
    toc: list[tuple[int, str, str]]
    cited: list[Citation] = field(default_factory=list)
    drawn: set[str] = field(default_factory=set)


def figure_html(drawn: Drawn, up: str, *, alt: str = "", about: tuple[str, str] | None = None) -> str:
    """A figure, drawn when it comes into view.

    Args:
        drawn: the figure.
        up: from the page to the top of the site, "" or "../".
        alt: what a document calls it.
        about: page and name of its record, for a link.
    """
    told = html.escape(f"{drawn.title}. {drawn.sample}")
    link = f' <a href="{up}{about[0]}">{html.escape(about[1])}</a>' if about else ""
    warning = f'<span class="warning">{html.escape(drawn.warning)}</span> ' if drawn.warning else ""
    name = f" ({html.escape(alt)})" if alt and alt.lower() not in drawn.title.lower() else ""
    return (
        f'<figure class="figure{" wide" if drawn.wide else ""}"><div class="plot-scroll" tabindex="0" '
        f'role="region" aria-label="{told}"><div class="plot" data-figure="{drawn.name}" data-up="{up}" '
        f'style="height:{drawn.height}px"></div></div><figcaption>{warning}<strong>{html.escape(drawn.title)}'
        f"</strong>{name} <span>{html.escape(drawn.sample)}</span>{link}</figcaption></figure>"
    )


def number_html(one: Citation, up: str) -> str:
    """A cited number as a link to its record and field."""
    told = [one.what or one.field.rpartition("/")[2]]
    if one.interval is not None:
        told.append(f"95 % interval [{one.interval[0]:.3f}, {one.interval[1]:.3f}]")
    told.append(f"{one.record.experiment}, {one.record.subject}: {one.field}")
    tip = html.escape(" · ".join(told))
    return f'<a class="num" href="{up}{cited_at(one)}" data-tip="{tip}">{html.escape(one.right)}</a>'


def render(text: str, document: str, sources: Sources, up: str = "") -> Rendered:
    """A document as HTML.

    Args:
        text: Markdown.
        document: its path from the repository's root.
        sources: records, figures and pages.
        up: from the page to the top of the site.

    Raises:
        PkvError: it cites a number or shows a figure that no record has.
    """
    made = Rendered(document, "", [])

    def number(one: Citation) -> str:
        made.cited.append(one)
        return number_html(one, up)

    text = replaced(text, sources.records, number)
    text = _TABLE.sub(lambda found: _told_table(found, sources, up), text)
    text = _PICTURE.sub(lambda found: _shown_picture(found, document, sources, made, up), text)
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = parser.parse(text)
    _walk(tokens, document, sources, made, up)
    body = parser.renderer.render(tokens, parser.options, {})
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    made.body = body.replace("<table>", TABLE).replace("</table>", "</table></div>")
    return made


TABLE = '<div class="table" tabindex="0" role="region" aria-label="table"><table>'


def _told_table(found: re.Match[str], sources: Sources, up: str) -> str:
    """A generated table with links to its record."""
    kind, experiment, subject, rest, body = found.groups()
    record = sources.records.get((experiment, subject))
    if record is None:
        raise PkvError(f"there is no record for '{kind} {experiment} {subject}'", "correct the marker")
    page = up + record_page(record)
    if kind == "headlines":

        def linked(line: re.Match[str]) -> str:
            to = f"{page}#{place(f'/headline/{line[1]}')}"
            return f'| `{line[1]}` | <a class="num" href="{to}">{line[2]}</a>'

        return f"\n{_HEADLINE.sub(linked, body)}\n"
    name = rest.split()[0]
    told = html.escape(f"Table {name} of {experiment}, {subject}")
    return f'\n{body}\n\n<p class="source"><a href="{page}#{safe(f"tables-{name}")}">{told}</a></p>\n\n'


def _shown_picture(found: re.Match[str], document: str, sources: Sources, made: Rendered, up: str) -> str:
    """The figure that a picture was drawn from."""
    alt, experiment, folder, name = found.groups()
    for (theirs, subject), drawn in sources.drawn.items():
        if theirs == experiment and safe(subject) == folder:
            if name not in drawn:
                raise PkvError(
                    f"{document}: {experiment} draws no '{name}' of {subject}", "correct the picture"
                )
            made.drawn.add(drawn[name].name)
            about = record_page(sources.records[experiment, subject]), "record"
            return f"\n\n{figure_html(drawn[name], up, alt=alt, about=about)}\n\n"
    raise PkvError(f"{document}: no record draws {experiment}/{folder}/{name}", "correct the picture")


def _walk(tokens: list[Any], document: str, sources: Sources, made: Rendered, up: str) -> None:
    """Give headings their places, links their pages and code its colours."""
    folder = document.rpartition("/")[0]
    seen: dict[str, int] = {}
    for i, token in enumerate(tokens):
        if token.type == "heading_open":
            words = "".join(
                t.content for t in tokens[i + 1].children or () if t.type in ("text", "code_inline")
            )
            name = anchor(words)
            seen[name] = seen.get(name, 0) + 1
            name += f"-{seen[name] - 1}" * (seen[name] > 1)
            token.attrSet("id", name)
            if token.tag == "h1":
                made.title = words
            else:
                made.toc.append((int(token.tag[1]), name, words))
        elif token.type == "fence":
            token.type, token.content = "html_block", coloured(token.content, token.info.split(" ")[0])
        elif token.type == "inline":
            _link(token.children or [], folder, sources, up)


def _link(children: list[Any], folder: str, sources: Sources, up: str) -> None:
    """Lead links of a line to pages; what is not part of the site stays as text."""
    dead = False
    for token in children:
        if token.type == "link_open":
            href = str(token.attrGet("href"))
            if href.startswith((up + "records/", "#")):
                continue
            to = target(href, folder, sources.pages)
            dead = to is None
            if dead:
                token.tag, token.attrs = "span", {"class": "path", "title": href}
            else:
                inside = to if re.match(r"[a-z]+:|#", str(to)) else up + str(to)
                token.attrSet("href", inside)
        elif token.type == "link_close" and dead:
            token.tag, dead = "span", False


def coloured(code: str, language: str) -> str:
    """Code as HTML, in the colours of its language."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    inside = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre class="code" tabindex="0"><code>{inside}</code></pre>\n'
