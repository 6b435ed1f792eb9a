"""Names of pages and places in them, and where a link of a document leads on the site."""

import html
import posixpath
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import quote, unquote

from pkv_interp.records import RunRecord
from pkv_interp.records.cited import Citation

_FIGURE = re.compile(r'data-figure="([^"]+)" data-up="([^"]*)"')


def safe(name: str) -> str:
    """A name as the folder of a figure or the file of a page has it."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", name)


def anchor(heading: str) -> str:
    """The place of a heading, as GitHub names it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def record_page(record: RunRecord) -> str:
    """The page of a record, from the top of the site."""
    return f"records/{record.experiment}--{safe(record.subject)}.html"


def place(field: str) -> str:
    """The place of a field on its record's page: of its headline, or of its line in a table."""
    kind, name, *rest = field.strip("/").split("/")
    return safe(f"{kind}-{name}" if kind == "headline" else f"{kind}-{name}-{rest[0]}")


def cited_at(one: Citation) -> str:
    """Where a cited number stands, from the top of the site."""
    return f"{record_page(one.record)}#{quote(place(one.field))}"


def target(link: str, folder: str, pages: set[str]) -> str | None:
    """Where a link of a document leads on the site; None where that is not part of it.

    Args:
        link: as it stands in the document.
        folder: of the document, from the repository's root.
        pages: documents that are pages, by their path from the root.
    """
    if re.match(r"[a-z]+:", link) or link.startswith("#"):
        return link
    path, _, fragment = link.partition("#")
    parts: list[str] = []
    for part in PurePosixPath(folder, path).parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    whole = "/".join(parts)
    if whole not in pages:
        return None
    return page_of(whole) + (f"#{fragment}" if fragment else "")


def page_of(document: str) -> str:
    """The page of a document or a notebook, from the top of the site.

    Args:
        document: its path from the repository's root.
    """
    path = PurePosixPath(document)
    if path.suffix == ".ipynb":
        return f"notebooks/{path.stem}.html"
    return "index.html" if path.stem == "story" else f"{path.stem.lower()}.html"


def broken(files: Mapping[str, bytes]) -> list[str]:
    """Links inside the site that lead to no page, no file or no place.

    Args:
        files: the whole site, by path from its top.
    """
    pages = {name: content.decode() for name, content in files.items() if name.endswith(".html")}
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in pages.items()}
    dead = []
    for name, text in pages.items():
        links = set(re.findall(r'(?:href|src)="([^"]+)"', text))
        wanted = {f"{up}figures/{figure}.js" for figure, up in _FIGURE.findall(text)}
        for link in sorted(links | wanted):
            path, _, fragment = html.unescape(link).partition("#")
            if re.match(r"[a-z]+:", path):
                continue
            to = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            if to not in files or (fragment and unquote(fragment) not in places.get(to, ())):
                dead.append(f"{link} in {name}")
    return dead
