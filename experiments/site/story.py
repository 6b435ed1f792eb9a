"""Texts whose every number is cited: the check of them, and the story in its scrolls."""

import re
from collections.abc import Mapping

from experiments.site.pages import Rendered
from pkv_interp.errors import PkvError
from pkv_interp.records import RunRecord
from pkv_interp.records.cited import uncited, wrong

#: Documents that state no number but a record's.
CITING = ("docs/story.md", "docs/explainer.md", "docs/mechanism.md")


def checked_prose(text: str, document: str, records: Mapping[tuple[str, str], RunRecord]) -> None:
    """Hold the numbers of a document against their records.

    Raises:
        PkvError: one is another than its record's, or a text that has to cite states one that it does not.
    """
    for one in wrong(text, records):
        raise PkvError(
            f"{document} says {one.written}, and {one.record.path} has {one.right} at {one.field}",
            "read the sentence again, then run `python -m experiments.docs`",
        )
    loose = uncited(text) if document in CITING else []
    if loose:
        raise PkvError(
            f"{document} states {', '.join(loose[:5])} without a record",
            "cite it as pkv_interp/records/cited.py says, or write it as a word",
        )


def in_scrolls(made: Rendered) -> Rendered:
    """Each part of the second level as a section of its own."""
    head, *parts = re.split(r"(?=<h2 id=)", made.body)
    sections = []
    for part in parts:
        found = re.match(r'<h2 id="([^"]+)"', part)
        name = found[1] if found else ""
        sections.append(f'<section aria-labelledby="{name}">\n{part}</section>\n')
    made.body = head + "".join(sections)
    return made
