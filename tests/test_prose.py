"""Numbers that stand literally in the prose of docs/results.md are numbers of the records that it speaks of.

A number of two digits can be there by chance: this finds some that a new record left behind, and not all. The
texts of `experiments.site.story.CITING` name the field of each number instead.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.records.cited import CITED
from tests.documents import ROOT, text_of

_MARKER = re.compile(r"<!-- (?:headlines|table) (\S+) (\S+)")
_ASIDE = re.compile(
    r"^```.*?^```|<!-- (?:headlines|table) .*?<!-- end -->|<!--.*?-->|`[^`]*`|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)
_NAMES = re.compile(r"[A-Za-z][\w.-]*\d[\w.-]*|\b\d+(?:\.\d+)?[BM]\b|arXiv \d+\.\d+")
#: What is no number of a record: published ends, shares that the text counts, a run that was given up.
COUNTED = {
    "Said before, judged after": {"0.72", "0.52"},
    "Weight edits": {"0.69"},
}


def sections() -> list[tuple[str, str, str]]:
    """Heading, text and the text of the whole part that it is in, for each heading of results.md."""
    found = []
    for part in re.split(r"(?m)^(?=## )", text_of("docs/results.md"))[1:]:
        for section in re.split(r"(?m)^(?=### )", part):
            heading = section.splitlines()[0].lstrip("# ")
            found.append((heading, section, part))
    return found


def numbers(value: Any) -> set[float]:
    """Every number of a JSON value, without its sign."""
    if isinstance(value, bool):
        return set()
    if isinstance(value, int | float):
        return {abs(float(value))}
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(*map(numbers, inside))


@cache
def of_file(path: Path) -> frozenset[float]:
    """The numbers of a record."""
    record = json.loads(path.read_text(encoding="utf-8"))
    parts = ("headline", "tables", "competence", "controls", "config")
    return frozenset(numbers([record.get(part) for part in parts]))


@cache
def files() -> dict[tuple[str, str], list[Path]]:
    """Files of records by experiment and subject."""
    found: dict[tuple[str, str], list[Path]] = {}
    for path in (ROOT / "results").glob("*/*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        asked = [record["config"].get(name) for name in ("layout", "engine")]
        subject = "@".join([record["model"]["name"], *(one for one in asked if isinstance(one, str))])
        found.setdefault((record["experiment"], subject), []).append(path)
    return found


@cache
def published() -> frozenset[float]:
    """Published figures that ours stand beside."""
    tables = (ROOT / "pkv_interp" / "data").glob("published_*.csv")
    found = (re.findall(r"-?\d+\.\d+", path.read_text(encoding="utf-8")) for path in tables)
    return frozenset(abs(float(number)) for numbers_of in found for number in numbers_of)


def spoken_of(section: str, part: str) -> set[float]:
    """Numbers of the records whose tables stand in a section or its part, and of trials that it names."""
    keys = set(_MARKER.findall(section)) | set(_MARKER.findall(part))
    linked = set(re.findall(r"\]\(#([\w-]+)\)", section))
    for heading, other, _ in sections():
        if re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") in linked:
            keys |= set(_MARKER.findall(other))
    paths = [path for key in keys for path in files().get(key, ())]
    paths += [path for path in (ROOT / "docs" / "trials").glob("*.json") if path.name in section]
    return set(published()).union(*map(of_file, paths))


def stated(section: str) -> list[str]:
    """Numbers of two or more decimals in a section's prose, without their signs."""
    prose = _NAMES.sub(" ", _ASIDE.sub(" ", CITED.sub(" ", section)))
    return re.findall(r"\d+\.\d{2,}", prose)


@pytest.mark.parametrize(("heading", "section", "part"), sections(), ids=[one[0] for one in sections()])
def test_every_number_of_a_section_is_one_of_its_records(heading: str, section: str, part: str) -> None:
    said = stated(section)
    known = spoken_of(section, part) if said else set()
    loose = []
    for text in said:
        digits = len(text.partition(".")[2])
        if text not in COUNTED.get(heading, ()) and not any(f"{one:.{digits}f}" == text for one in known):
            loose.append(text)
    assert loose == []


def test_a_number_of_no_record_is_found() -> None:
    heading, section, part = next(one for one in sections() if one[0] == "The circuit")
    assert "0.98765" in stated(f"{section}\n\nIt is 0.98765 of it.")
    assert not any(f"{one:.5f}" == "0.98765" for one in spoken_of(section, part)), heading
