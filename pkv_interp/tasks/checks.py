"""Checks of a scenario file before a model loads: its structure, and with a tokenizer its tokens."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pkv_interp.errors import PkvError
from pkv_interp.tasks.alignment import aligned_values
from pkv_interp.tasks.findings import Finding, refuse
from pkv_interp.tasks.layouts import Style
from pkv_interp.tasks.scenario_file import parse_scenarios
from pkv_interp.tasks.scenarios import Family, Scenarios


def check_scenarios(path: str | Path, tokenizer: Any | None = None) -> list[Finding]:
    """Every problem of a scenario file; those of tokens only where a tokenizer is given.

    Raises:
        PkvError: the file cannot be read.
    """
    _, problems = parse_scenarios(path)
    if problems or tokenizer is None:
        return problems
    return check_tokens(Scenarios.load(path), tokenizer)


def load_scenarios(path: str | Path, tokenizer: Any) -> Scenarios:
    """Read a scenario file that suits a tokenizer.

    Raises:
        FileProblems: the file has problems.
    """
    scenarios = Scenarios.load(path)
    refuse(check_tokens(scenarios, tokenizer))
    return scenarios


def check_tokens(scenarios: Scenarios, tokenizer: Any) -> list[Finding]:
    """Families without two values of one token length, and actions that are not one token after a cue."""
    return [finding for family in scenarios.families for finding in _family(family, scenarios, tokenizer)]


def _family(family: Family, scenarios: Scenarios, tokenizer: Any) -> Iterator[Finding]:
    place = f"{scenarios.source}, family '{family.name}'"
    written_in = {scenarios.placed(family, Style(layout=one.name)).before_value for one in scenarios.layouts}
    for before_value in sorted(written_in):
        try:
            aligned_values(replace(family, before_value=before_value), tokenizer)
        except PkvError as error:
            yield Finding.of(f"{place}, values", error)
    ends = [
        (one.cue_of(one.label(family.field)), one.before_answer, one.first_token) for one in scenarios.layouts
    ]
    for cue, between, first_token in dict.fromkeys(ends):
        before = tokenizer(cue, add_special_tokens=False)["input_ids"]
        blank = between if between is not None else "" if cue[-1].isspace() else " "
        starts: dict[int, str] = {}
        for action in family.actions:
            whole = tokenizer(f"{cue}{blank}{action}", add_special_tokens=False)["input_ids"]
            written = whole[len(before) :]
            if first_token:
                del written[1:]
            if whole[: len(before)] != before or len(written) != 1:
                yield Finding(
                    f"{place}, actions",
                    f"'{action}' is {len(written)} tokens after '{cue}' and not one",
                    "choose a shorter action word for this tokenizer",
                )
            elif written[0] in starts:
                yield Finding(
                    f"{place}, actions",
                    f"'{starts[written[0]]}' and '{action}' share their token",
                    "choose actions that start differently",
                )
            else:
                starts[written[0]] = action
