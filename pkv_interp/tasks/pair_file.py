"""Reading a file of pairs: one JSON object per line, each checked on its own."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from pkv_interp.tasks.findings import Finding, read_text
from pkv_interp.tasks.scenario_schema import Entry, Split, Text
from pkv_interp.tasks.strict_json import Unreadable, strict_json


class MessageEntry(Entry):
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: Text


Turns = Annotated[tuple[MessageEntry, ...], Field(min_length=1)]


class PairEntry(Entry):
    """One line of a file of pairs."""

    clean: Text | Turns
    corrupt: Text | Turns
    answer: Text
    wrong: Text
    family: Text = "pairs"
    split: Split = "held_out"
    instance: Text | None = None
    chat: bool = False


@dataclass(frozen=True)
class PairLine:
    """A checked line and where it stands."""

    place: str
    entry: PairEntry
    name: str


def parse_pairs(path: str | Path) -> tuple[list[PairLine], list[Finding]]:
    """The lines that are as they should be, and the problems of the others that show without a tokenizer.

    Raises:
        PkvError: the file cannot be read.
    """
    found: list[PairLine] = []
    problems: list[Finding] = []
    names: dict[str, int] = {}
    prompts: dict[frozenset[str], tuple[int, str]] = {}
    # Other ends of lines that Unicode knows may stand inside a text.
    lines = read_text(path, "the file of pairs").split("\n")
    for number, text in enumerate(lines, start=1):
        place = f"{path}:{number}"
        if not text.strip():
            continue
        try:
            entry = PairEntry.model_validate(strict_json(text))
        except Unreadable as error:
            problems.append(Finding(place, error.reason, "write one object a line, each key once"))
            continue
        except ValidationError as error:
            problems += _told(place, error)
            continue
        name = entry.instance or f"{entry.family}-{number}"
        if name in names:
            problems.append(
                Finding(place, f"the instance '{name}' stands in line {names[name]} too", "rename one")
            )
        names.setdefault(name, number)
        same = frozenset({repr(entry.clean), repr(entry.corrupt)})
        first, split = prompts.setdefault(same, (number, entry.split))
        wrong = _structure(entry) or _elsewhere(first, split, entry)
        if wrong is not None:
            problems.append(Finding(place, *wrong))
        elif names[name] == number:
            found.append(PairLine(place, entry, name))
    if not found and not problems:
        problems.append(Finding(str(path), "the file holds no pairs", "write one object a line"))
    return found, problems


def _structure(entry: PairEntry) -> tuple[str, str] | None:
    """Reason and suggestion where the line contradicts itself."""
    if entry.clean == entry.corrupt:
        return "clean and corrupt are the same", "change the words that the answer depends on"
    if entry.answer.strip() == entry.wrong.strip():
        return f"answer and wrong are both '{entry.answer}'", "give what each prompt calls for"
    if isinstance(entry.clean, str) != isinstance(entry.corrupt, str):
        return "one prompt is a text and the other a list of messages", "write both in one form"
    return None


def _elsewhere(first: int, split: str, entry: PairEntry) -> tuple[str, str] | None:
    """Reason and suggestion where the same prompts stand in another split as well."""
    if split == entry.split:
        return None
    return (
        f"its prompts stand in line {first} too, in the split '{split}': none may rank and be scored",
        "write other prompts, or leave one of the two lines out",
    )


def _told(place: str, error: ValidationError) -> list[Finding]:
    """What pydantic found, one finding per key."""
    out: dict[str, Finding] = {}
    known = list(PairEntry.model_fields)
    for detail in error.errors():
        loc = detail["loc"]
        key = str(loc[0]) if loc else ""
        if not loc:
            finding = Finding(place, "the line is no object", f"write an object with {', '.join(known[:4])}")
        elif detail["type"] == "missing" and len(loc) == 1:
            finding = Finding(place, f"the key '{key}' is missing", "add it")
        elif detail["type"] == "extra_forbidden" and len(loc) == 1:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known keys are {', '.join(known)}"
            finding = Finding(place, f"unknown key '{key}'", hint)
        elif key in ("clean", "corrupt"):
            hint = "write a text, or a list of messages with role and content"
            finding = Finding(place, f"'{key}' is no prompt ({detail['msg'].lower()})", hint)
        elif detail["type"] == "string_pattern_mismatch":
            finding = Finding(place, f"'{key}' is empty", "write a text")
        else:
            hint = "choose from discovery, held_out, confirm" if key == "split" else "correct it"
            finding = Finding(place, f"'{key}' is {detail['input']!r}: {detail['msg'].lower()}", hint)
        out.setdefault(key, finding)
    return list(out.values())
