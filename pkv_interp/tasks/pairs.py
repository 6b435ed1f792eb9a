"""A researcher's own pairs: two prompts per line that differ in one span, with the answer each calls for.

One JSON object per line: ``clean`` and ``corrupt`` (a text, or a list of messages with ``role`` and
``content``), ``answer`` (what clean calls for) and ``wrong`` (what corrupt calls for); optionally ``family``
(the unit of every interval), ``split``, ``instance`` and ``chat`` (true puts a text into a user message).
Nothing else is known about such a prompt, so its cases serve whatever needs no rule.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.prompts.readout import action_ids
from pkv_interp.prompts.segments import PLAIN, Message, Prompt, Segment, mark, render, tokenise
from pkv_interp.tasks.cases import Case
from pkv_interp.tasks.findings import Finding, refuse
from pkv_interp.tasks.pair_file import MessageEntry, PairEntry, parse_pairs

#: Name of the span in which the prompts of a pair differ.
CHANGE = "change"
#: The wording of every pair: there is no rule.
WORDING = "pair"


def load_pairs(path: str | Path, tokenizer: Any) -> list[Case]:
    """The cases of a JSONL file; ``changed`` is the span ``"change"``, found by comparing tokens.

    Raises:
        FileProblems: lines that are no pairs under this tokenizer; all of them, not the first alone.
    """
    cases, problems = _read(path, tokenizer)
    refuse(problems)
    return cases


def split_pairs(path: str | Path, tokenizer: Any) -> tuple[list[Case], list[Case]]:
    """The cases of a JSONL file that rank sites, and those that score them.

    Raises:
        FileProblems: as `load_pairs`.
        PkvError: there are none of one kind.
    """
    cases = load_pairs(path, tokenizer)
    found = {split: [case for case in cases if case.split == split] for split in ("discovery", "held_out")}
    empty = [split for split, mine in found.items() if not mine]
    if empty:
        raise PkvError(
            f"{Path(path).name} has no pair of the split '{empty[0]}'",
            'give each line "split": "discovery" (they rank sites) or "held_out" (they score them)',
        )
    return found["discovery"], found["held_out"]


def check_pairs(path: str | Path, tokenizer: Any | None = None) -> list[Finding]:
    """Every problem of a JSONL file; those of lengths and answers only where a tokenizer is given.

    Raises:
        PkvError: the file cannot be read.
    """
    return parse_pairs(path)[1] if tokenizer is None else _read(path, tokenizer)[1]


def _read(path: str | Path, tokenizer: Any) -> tuple[list[Case], list[Finding]]:
    lines, problems = parse_pairs(path)
    cases: list[Case] = []
    for line in lines:
        try:
            cases.append(_case(line.entry, line.name, tokenizer))
        except PkvError as error:
            problems.append(Finding.of(line.place, error))
    return cases, problems


def _case(entry: PairEntry, name: str, tokenizer: Any) -> Case:
    """The case of a pair.

    Raises:
        PkvError: lengths differ, no token differs or one of the last two does, or an answer is not one token.
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
    if span[1] == len(clean) - 1:
        # What holds the conclusion besides the change itself is looked for between change and decision.
        raise PkvError(
            "no token stands between the change and the last one",
            "put words after the change, for example the question",
        )
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
        return tokenise(side, [PLAIN] * len(side), [], tokenizer, prefix=True)
    turns = [MessageEntry(role="user", content=side)] if isinstance(side, str) else side
    messages = [Message(turn.role, (Segment(PLAIN, turn.content),)) for turn in turns]
    if tokenizer.chat_template is None:
        raise PkvError("the tokenizer has no chat template", "give clean and corrupt as texts, without chat")
    rendered = render(messages, tokenizer, True, None)
    return tokenise(rendered.text, *mark(messages, rendered), tokenizer, prefix=False)


def _spanned(prompt: Prompt, spans: dict[str, tuple[int, int]]) -> Prompt:
    return Prompt(prompt.ids, prompt.text, prompt.tokens, prompt.kinds, dict(spans))
