"""Every kind of problem that a scenario file can have is told, with its place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.tasks import (
    Family,
    Scenarios,
)
from pkv_interp.tasks.checks import check_scenarios, load_scenarios
from pkv_interp.tasks.findings import FileProblems
from tests.families import tiny as tiny_model
from tests.tasks.test_scenarios import small, written


def changed(path: str, value: Any) -> dict[str, Any]:
    """The small file with one place set to ``value``; "-" takes it out."""
    data = small()
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    at: Any = data
    for step in steps:
        at = at[step]
    if value == "-":
        del at[last]
    else:
        at[last] = value
    return data


#: Where the small file is changed, to what, the entry that is named, the reason and the suggestion.
BAD = {
    "unknown section": ("familys", [], "familys", "unknown key 'familys'", "did you mean 'families'"),
    "unknown key": ("families.0.rule", "x", "family 'boxes', rule", "unknown key 'rule'", "did you mean"),
    "missing": ("families.1.role", "-", "family 'chairs'", "the key 'role' is missing", "add it"),
    "empty": ("families.0.field", " ", "family 'boxes', field", "the text is empty", "write the text"),
    "no text": ("families.0.values", ["a", True], "family 'boxes', values, number 2", "True is no", "quotes"),
    "one value": ("families.0.values", ["red"], "family 'boxes', values", "1 entries", "give"),
    "five values": ("families.0.values", list("abcde"), "family 'boxes', values", "entries", "give"),
    "same values": ("families.0.values", ["a", "a"], "family 'boxes', values", "'a' stands twice", "differ"),
    "same actions": ("families.0.actions", ["a", "a"], "boxes', actions", "'a' stands twice", "differ"),
    "one action": ("families.0.actions", ["a"], "boxes', actions", "entry 2 is missing", "two"),
    "three actions": ("families.0.actions", ["a", "b", "c"], "boxes', actions", "3 entries", "two"),
    "split": ("families.0.split", "train", "boxes', split", "unknown value 'train'", "held_out"),
    "request": ("families.0.request", "{nr}", "boxes', request", "unknown placeholder {nr}", "{id}"),
    "no families": ("families", [], "families", "0 entries", "at least 1"),
    "twice": ("families.1.name", "boxes", "family 'boxes'", "the name stands in line", "rename"),
    "rule blank": (
        "rules.reads",
        "{field} {trigger} {act} {other} {who}",
        "rule 'reads'",
        "unknown placeholder {who}",
        "{field}",
    ),
    "rule without": ("rules.reads", "{field} {act} {other}", "rule 'reads'", "{trigger} is missing", "{act}"),
    "rule twice": (
        "rules.reads",
        "{field} {trigger} {trigger} {act} {other}",
        "rule 'reads'",
        "{trigger} stands 2 times",
        "once",
    ),
    "braces": ("rules.reads", "{field", "rule 'reads'", "braces do not pair up", "{{"),
    "format": ("rules.reads", "{field!r}", "rule 'reads'", "a format of its own", "the name alone"),
    "layout blank": ("layouts.0.state", "{field}", "layout 'json', state", "{value} is missing", "{value}"),
    "turns": ("layouts.0.turns", "two", "layout 'json'", "unknown turns 'two'", "use one, or each"),
    "reply": ("layouts.0.turns", "each", "layout 'json'", "reply is missing", "the key reply"),
    "order": ("layouts.0.order", ["ask", "rule", "state"], "layout 'json'", "with ask at the end", "order"),
    "menu first": ("layouts.0.ask", "{menu} {request}", "layout 'json'", "before {request}", "after"),
    "bystanders": ("bystanders", {"desk": ["a", "b"]}, "bystanders", "1 entries", "at least 2"),
    "planted": ("planted", "Done.", "planted", "{action} is missing", "{action}"),
    "session field": (
        "session_fields",
        {"low": [{"name": "a"}], "medium": [{"name": "b", "pattern": "#"}]},
        "session_fields, low, number 1",
        "either a pattern or groups",
        "keep one",
    ),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("form", ["my.json", "my.yaml"])
def test_a_bad_entry_is_told_with_its_place(name: str, form: str, tmp_path: Path) -> None:
    where, value, entry, reason, suggestion = BAD[name]
    path = written(tmp_path, changed(where, value), form)
    findings = check_scenarios(path)
    assert len(findings) == 1, [str(f) for f in findings]
    (finding,) = findings
    assert finding.place.startswith(f"{path}:")
    assert entry in finding.place
    assert reason in finding.reason
    assert suggestion in finding.suggestion
    assert "\n" not in str(finding)
    with pytest.raises(FileProblems) as error:
        Scenarios.load(path)
    assert error.value.problems == (finding,)


def test_the_line_of_a_problem_is_the_line_of_its_key(tmp_path: Path) -> None:
    path = written(tmp_path, changed("families.1.actions", ["a", "a"]), "my.yaml")
    (finding,) = check_scenarios(path)
    line = int(finding.place.split(":")[1].split(",")[0])
    assert path.read_text().splitlines()[line - 1].strip(" -") == "actions:"


def test_all_problems_are_collected_and_the_first_is_told(tmp_path: Path) -> None:
    data = changed("families.0.values", ["a", "a"])
    data["rules"]["leads"] = "{field}"
    data["layouts"][1]["cue"] = ""
    path = written(tmp_path, data)
    with pytest.raises(
        FileProblems, match=r"'a' stands twice; give values that differ \(and 2 more\)"
    ) as error:
        Scenarios.load(path)
    assert len(error.value.problems) == len(check_scenarios(path)) == 3
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("{", "my.json", "not JSON"),
        ("families: [", "my.yaml", "not YAML"),
        ("- a", "my.yaml", "the file holds no sections"),
        ("", "my.yaml", "the file holds no sections"),
        ("rules:\n  a: x\n  a: y\n", "my.yaml", "the name stands in line 2 too"),
    ],
)
def test_a_file_that_is_no_scenario_file_is_told(text: str, name: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(text)
    findings = check_scenarios(path)
    assert reason in findings[0].reason
    assert findings[0].place.startswith(str(path))


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(PkvError, match=r"the scenario file '.*none.yaml' cannot be read"):
        Scenarios.load(tmp_path / "none.yaml")


def test_tokens_are_checked_before_a_prompt_is_built(tmp_path: Path) -> None:
    tokenizer = tiny_model("llama").tokenizer
    assert check_scenarios(written(tmp_path, small()), tokenizer) == []
    data = small()
    data["families"][0]["values"] = ["green", "xylophonist qqq"]
    data["families"][1]["actions"] = ["keep", "xylophonist"]
    path = written(tmp_path, data)
    assert check_scenarios(path) == []
    values, action, *others = check_scenarios(path, tokenizer)
    assert "no two values of one token length: green (" in values.reason
    assert values.place == f"{path}, family 'boxes', values"
    assert "'xylophonist' is " in action.reason
    assert "after 'answer ='" in action.reason
    assert all("xylophonist" in finding.reason for finding in others)
    with pytest.raises(FileProblems, match="no two values of one token length"):
        load_scenarios(path, tokenizer)


def test_a_family_without_a_split_is_for_confirmation() -> None:
    family = Family("odd", "r", "f", ("a", "b"), ("x", "y"), "{id}")
    assert family.split == "confirm"
    assert replace(family, split="discovery").split == "discovery"
