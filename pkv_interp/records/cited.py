"""Numbers in a text that cite a record, and numbers in it that cite none.

A cited number stands before a comment that says where it is from: ``0.98<!--= circuit MODEL notes_only -->``.
After experiment and subject comes a headline, with ``:ci_low`` or another part of it, or a table,
``column=value`` for each column that tells its lines apart, and the column that is cited. A blank in a value
is written ``_``. An interval behind the number, ``0.98 [0.96, 1.01]``, is cited with it. The digits of a
number say how its value is rounded; readers of the text see no comment.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pkv_interp.errors import PkvError, suggestion
from pkv_interp.records.schema import RunRecord

Records = Mapping[tuple[str, str], RunRecord]
_NUMBER = r"-?\d[\d,]*(?:\.\d+)?"
CITED = re.compile(
    rf"(?P<number>{_NUMBER})(?P<interval> \[{_NUMBER}, {_NUMBER}\])?<!--= (?P<words>[^>]*?) -->"
)
_MARK = re.compile(r"<!--= [^>]*?-->")
#: What is no statement of a number: code, generated tables, comments, targets of links.
_ASIDE = re.compile(
    r"^```.*?^```|<!-- (?:headlines|table) .*?<!-- end -->|<!--.*?-->|``.*?``|`[^`]*`|\]\([^)]*\)|<[^>]+>",
    re.DOTALL | re.MULTILINE,
)
#: Numbers that are names: of models and their sizes, of papers, the level of an interval, a place in a list.
_NAMES = re.compile(
    r"[A-Za-z][\w.-]*\d[\w.-]*|\b\d+(?:\.\d+)?[BM]\b|arXiv \d+\.\d+|\b95 %|^\s*\d+\. ", re.MULTILINE
)


@dataclass(frozen=True)
class Citation:
    """A number as the text has it and as its record has it.

    Attributes:
        written: number and interval in the text.
        right: the same from the record, rounded as the text is.
        record: that it is from.
        field: its place there, as a JSON pointer.
        what: the record's own words for it.
        interval: its 95 % interval, where there is one.
    """

    written: str
    right: str
    record: RunRecord
    field: str
    what: str
    interval: tuple[float, float] | None


def _ends(low: Any, high: Any) -> tuple[float, float] | None:
    return None if low is None or high is None else (float(low), float(high))


def _number(value: Any, words: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PkvError(f"'{words}' is no number but {value!r}", "cite another column")
    return float(value)


def _of_headline(
    record: RunRecord, name: str, words: str
) -> tuple[float, tuple[float, float] | None, str, str]:
    name, _, part = name.partition(":")
    if name not in record.headline:
        raise PkvError(f"{record.path} states no headline '{name}'", suggestion(name, record.headline))
    figure = record.headline[name]
    known = figure.model_dump()
    if part and part not in known:
        raise PkvError(f"a headline has no '{part}'", suggestion(part, known))
    interval = None if part else _ends(figure.ci_low, figure.ci_high)
    return (
        _number(known[part or "value"], words),
        interval,
        f"/headline/{name}/{part or 'value'}",
        figure.what,
    )


def _of_table(record: RunRecord, words: list[str]) -> tuple[float, tuple[float, float] | None, str, str]:
    name, *wanted, column = words
    told = " ".join(words)
    if name not in record.tables:
        raise PkvError(f"{record.path} has no table '{name}'", suggestion(name, record.tables))
    lines = list(enumerate(record.tables[name]))
    for word in wanted:
        key, _, value = word.partition("=")
        if not lines or key not in lines[0][1]:
            raise PkvError(f"no line of {record.path} is '{told}'", f"look at its table '{name}'")
        lines = [(i, line) for i, line in lines if str(line[key]).replace(" ", "_") == value]
    if len(lines) != 1:
        raise PkvError(
            f"{len(lines)} lines of {record.path} are '{told}'", "cite by columns that tell one line"
        )
    (index, line), *_ = lines
    if column not in line:
        raise PkvError(f"the table '{name}' has no column '{column}'", suggestion(column, line))
    before = "" if column == "value" else f"{column}_"
    interval = _ends(line.get(f"{before}ci_low"), line.get(f"{before}ci_high"))
    what = ", ".join(f"{key} {value}" for key, value in line.items() if isinstance(value, str))
    return _number(line[column], told), interval, f"/tables/{name}/{index}/{column}", what


def _rounded(value: float, like: str) -> str:
    """The value with the digits that a written number has; a zero has no sign."""
    digits = len(like.partition(".")[2])
    text = f"{value:,.{digits}f}"
    return text.removeprefix("-") if not text.strip("-0.,") else text


def citation(found: re.Match[str], records: Records) -> Citation:
    """What a match of ``CITED`` cites.

    Raises:
        PkvError: there is no such record or field, or it holds no number.
    """
    words = found["words"].split()
    if len(words) < 3 or (words[0], words[1]) not in records:
        known = [" ".join(key) for key in records]
        raise PkvError(f"there is no record for '{found['words']}'", suggestion(" ".join(words[:2]), known))
    record, rest = records[words[0], words[1]], words[2:]
    one = len(rest) == 1
    value, interval, field, what = (
        _of_headline(record, rest[0], found["words"]) if one else _of_table(record, rest)
    )
    right = _rounded(value, found["number"])
    if found["interval"]:
        if interval is None:
            raise PkvError(f"'{found['words']}' has no interval", "cite the number alone")
        low, high = (_rounded(end, found["number"]) for end in interval)
        right += f" [{low}, {high}]"
    return Citation(found["number"] + (found["interval"] or ""), right, record, field, what, interval)


def replaced(text: str, records: Records, shown: Callable[[Citation], str]) -> str:
    """The text with something else in the place of every cited number and its comment.

    Raises:
        PkvError: a comment stands behind no number, or cites what does not exist.
    """
    for mark in _MARK.finditer(text):
        if not any(found.end() == mark.end() for found in CITED.finditer(text)):
            raise PkvError(f"{mark[0]} stands behind no number", "put it right after its number")
    return CITED.sub(lambda found: shown(citation(found, records)), text)


def corrected(text: str, records: Records) -> str:
    """The text with every cited number as its record has it."""
    return CITED.sub(lambda m: f"{citation(m, records).right}<!--= {m['words']} -->", text)


def wrong(text: str, records: Records) -> list[Citation]:
    """Cited numbers that are not those of their records."""
    found = [citation(match, records) for match in CITED.finditer(text)]
    return [one for one in found if one.written != one.right]


def uncited(text: str) -> list[str]:
    """Numbers that the text states without a record, in their order; names that hold digits are none."""
    prose = _NAMES.sub(" ", _ASIDE.sub(" ", CITED.sub(" ", text)))
    return re.findall(_NUMBER, prose)
