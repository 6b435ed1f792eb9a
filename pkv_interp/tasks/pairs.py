"""Pairs of a researcher's own: two prompts a line that differ in one span, with the answer each calls for.

One JSON object a line: ``clean`` and ``corrupt`` (a text, or a list of messages with ``role`` and
``content``), ``answer`` (what clean calls for) and ``wrong`` (what corrupt calls for); optionally ``family``
(the unit of every interval), ``split``, ``instance`` and ``chat`` (true puts a text into a user message).
Nothing else is known about such a prompt, so its cases serve whatever needs no rule.
"""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from jinja2 import TemplateError
from pydantic import Field, ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import PLAIN, Message, Prompt, Segment, mark, render, tokenise
from pkv_interp.tasks.cases import Case
from pkv_interp.tasks.findings import Finding, read_text, refuse
from pkv_interp.tasks.scenario_schema import Entry, Split, Text

#: Name of the span in which the prompts of a pair differ.
CHANGE = "change"
#: The wording of every pair: there is no rule.
WORDING = "pair"


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
class _Line:
    """A checked line and where it stands."""

    place: str
    entry: PairEntry
    name: str


def load_pairs(path: str | Path, tokenizer: Any) -> list[Case]:
    """The cases of a JSONL file; ``changed`` is the span ``"change"``, found by comparing tokens.

    Raises:
        FileProblems: lines that are no pairs under this tokenizer; all of them, not the first alone.
    """
    cases, problems = _read(path, tokenizer)
    refuse(problems)
    return cases


def check_pairs(path: str | Path, tokenizer: Any | None = None) -> list[Finding]:
    """Every problem of a JSONL file; those of lengths and answers only where a tokenizer is given.

    Raises:
        PkvError: the file cannot be read.
    """
    return _lines(path)[1] if tokenizer is None else _read(path, tokenizer)[1]


def _read(path: str | Path, tokenizer: Any) -> tuple[list[Case], list[Finding]]:
    lines, problems = _lines(path)
    cases: list[Case] = []
    for line in lines:
        try:
            cases.append(_case(line.entry, line.name, tokenizer))
        except PkvError as error:
            problems.append(Finding.of(line.place, error))
    return cases, problems


def _lines(path: str | Path) -> tuple[list[_Line], list[Finding]]:
    """The lines that are as they should be, and the problems of the others."""
    found: list[_Line] = []
    problems: list[Finding] = []
    names: dict[str, int] = {}
    for number, text in enumerate(read_text(path, "the file of pairs").splitlines(), start=1):
        place = f"{path}:{number}"
        if not text.strip():
            continue
        try:
            entry = PairEntry.model_validate(json.loads(text))
        except json.JSONDecodeError as error:
            problems.append(Finding(place, f"not JSON ({error.msg})", "write one object a line"))
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
        wrong = _structure(entry)
        if wrong is not None:
            problems.append(Finding(place, *wrong))
        elif names[name] == number:
            found.append(_Line(place, entry, name))
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


def _told(place: str, error: ValidationError) -> list[Finding]:
    """What pydantic found, one finding a key."""
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


def _case(entry: PairEntry, name: str, tokenizer: Any) -> Case:
    """The case of a pair.

    Raises:
        PkvError: lengths differ, no token differs or the last one does, or an answer is not one token.
    """
    clean, corrupt = (_prompt(side, entry.chat, tokenizer) for side in (entry.clean, entry.corrupt))
    if len(clean) != len(corrupt):
        raise PkvError(
            f"clean has {len(clean)} tokens and corrupt {len(corrupt)}",
            f"choose words of one token length ({_difference(clean, corrupt)})",
        )
    differ = [i for i, (a, b) in enumerate(zip(clean.ids, corrupt.ids, strict=True)) if a != b]
    if not differ:
        raise PkvError("clean and corrupt have the same tokens", "change a word and not white space alone")
    if differ[-1] == len(clean) - 1:
        raise PkvError(
            f"the prompts differ in their last token ('{clean.tokens[-1]}' and '{corrupt.tokens[-1]}')",
            "end both with the same words, for example with the question",
        )
    span = (differ[0], differ[-1] + 1)
    spans = {CHANGE: span, "decision": (len(clean) - 1, len(clean))}
    answers = (entry.answer, entry.wrong)
    ids = action_ids(clean, answers, tokenizer)
    if action_ids(corrupt, answers, tokenizer) != ids:
        raise PkvError("the answers have other tokens after corrupt", "end both prompts with the same words")
    return Case(
        entry.family,
        entry.split,
        name,
        WORDING,
        CHANGE,
        _spanned(clean, spans),
        _spanned(corrupt, spans),
        answers,
        ids,
    )


def _difference(clean: Prompt, corrupt: Prompt) -> str:
    """The tokens in which two prompts of different lengths differ."""
    start = 0
    while start < min(len(clean), len(corrupt)) and clean.ids[start] == corrupt.ids[start]:
        start += 1
    end = 0
    while end < min(len(clean), len(corrupt)) - start and clean.ids[-1 - end] == corrupt.ids[-1 - end]:
        end += 1
    mine, theirs = (p.tokens[start : len(p) - end] for p in (clean, corrupt))
    return f"clean has {list(mine)} where corrupt has {list(theirs)}"


def _prompt(side: str | Sequence[MessageEntry], chat: bool, tokenizer: Any) -> Prompt:
    """A text as it stands, or messages through the chat template up to where the answer starts."""
    if isinstance(side, str) and not chat:
        return tokenise(side, [PLAIN] * len(side), [], tokenizer)
    turns = [MessageEntry(role="user", content=side)] if isinstance(side, str) else side
    messages = [Message(turn.role, (Segment(PLAIN, turn.content),)) for turn in turns]
    if tokenizer.chat_template is None:
        raise PkvError("the tokenizer has no chat template", "give clean and corrupt as texts, without chat")
    try:
        text = render(messages, tokenizer, True, None)
    except TemplateError as error:
        raise PkvError(f"the chat template refuses these messages ({error})", "use other roles") from error
    marks, names = mark(messages, text)
    return tokenise(text, marks, names, tokenizer)


def _spanned(prompt: Prompt, spans: dict[str, tuple[int, int]]) -> Prompt:
    return Prompt(prompt.ids, prompt.text, prompt.tokens, prompt.kinds, dict(spans))
