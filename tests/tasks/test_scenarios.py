"""Scenario files: the packaged one, one of a researcher's own, and every kind of problem."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import (
    DISCOVERY,
    FAMILIES,
    HELD_OUT,
    Case,
    Family,
    Scenarios,
    Style,
    default_scenarios,
    field_case,
    polarity_case,
)
from pkv_interp.tasks.checks import check_scenarios, load_scenarios
from pkv_interp.tasks.edits import edit_task, lookup_task
from pkv_interp.tasks.field_classes import class_cases
from pkv_interp.tasks.findings import FileProblems
from pkv_interp.tasks.off_template import off_template_case
from pkv_interp.tasks.quads import quad, quad_twin
from pkv_interp.tasks.twins import same_conclusion_twin
from tests.families import tiny as tiny_model

TURNS = 'one message each; the assistant answers the first two with "early."'


def small() -> dict[str, Any]:
    """A file in the form of the confirmation set, in words that the tiny tokenizer knows."""
    return {
        "families": [
            {
                "name": name,
                "role": "You keep order.",
                "field": field,
                "values": ["green", "red"],
                "actions": ["keep", "remove"],
                "request": f"The {name} {{id}} is next.",
            }
            for name, field in (("boxes", "box state"), ("chairs", "chair state"))
        ],
        "layouts": [
            {
                "name": "json",
                "state": '{{"{field}": "{value}", "desk": "north"}}',
                "rule": "House rules.\n{before}* {rule}\n{after}",
                "ask": "Request: {request}\nOne word: {menu}",
                "cue": "answer =",
                "turns": "one",
            },
            {
                "name": "talk",
                "state": "On file the {field} is {value}.",
                "rule": "Please note. {before}{rule} {after}",
                "ask": "{request} So what is it, {menu}?",
                "cue": "Action:",
                "turns": TURNS,
            },
        ],
        "rules": {
            "reads": "Where the {field} reads {trigger} we {act}, else we {other}.",
            "leads": "A {field} of {trigger} calls for {act}; all the rest for {other}.",
        },
    }


def written(tmp_path: Path, data: dict[str, Any], name: str = "my.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(data, indent=1) if name.endswith("json") else yaml.safe_dump(data))
    return path


def text_of(case: Case, span: str, side: str = "clean") -> str:
    prompt = getattr(case, side)
    return "".join(prompt.tokens[slice(*prompt.spans[span])]).strip()


def test_the_packaged_file_has_the_splits_that_the_constants_name() -> None:
    known = default_scenarios()
    assert known.families == FAMILIES
    assert tuple(f.name for f in known.split("discovery")) == DISCOVERY
    assert tuple(f.name for f in known.split("held_out")) == HELD_OUT
    assert known.split("confirm") == ()
    assert [layout.name for layout in known.layouts] == ["standard", "field_late"]
    assert (len(FAMILIES), len(known.rules), len(known.fillers)) == (16, 4, 32)


def test_the_late_layout_is_the_standard_one_with_two_blocks_swapped(tiny: LoadedModel) -> None:
    by_layout = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1, style=Style(layout="field_late"))
    swapped = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1, style=Style(field_late=True))
    plain = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1)
    assert by_layout == swapped != plain


@pytest.mark.parametrize("name", ["my.json", "my.yaml"])
def test_a_file_gives_what_it_has_and_the_packaged_one_the_rest(name: str, tmp_path: Path) -> None:
    known = Scenarios.load(written(tmp_path, small(), name))
    assert [f.name for f in known.split("confirm")] == ["boxes", "chairs"] == list(known.by_name)
    assert known.choose(["chairs"]) == [known.families[1]]
    assert set(known.rules) == {"reads", "leads"}
    assert known.fillers == default_scenarios().fillers
    assert [layout.reply for layout in known.layouts] == [None, "early."]
    with pytest.raises(PkvError, match="unknown scenario family 'orders'; choose from boxes, chairs"):
        known.choose(["orders"])
    with pytest.raises(PkvError, match="unknown split 'train'"):
        known.split("train")
    with pytest.raises(PkvError, match="unknown layout 'loose'; choose from json, talk"):
        known.layout(Style(layout="loose"))
    with pytest.raises(PkvError, match="unknown rule wording 'whenever'"):
        known.rule("whenever")


@pytest.mark.parametrize("layout", ["json", "talk"])
@pytest.mark.parametrize("late", [False, True])
def test_prompts_of_a_file_of_ones_own_are_aligned_pairs(
    layout: str, late: bool, tmp_path: Path, tiny: LoadedModel
) -> None:
    known = Scenarios.load(written(tmp_path, small()))
    style = Style(n_fillers=3, field_late=late, layout=layout)
    for family in known.families:
        for index, wording in enumerate(known.rules):
            case = polarity_case(family, index, tiny.tokenizer, seed=0, style=style, scenarios=known)
            assert (case.split, case.wording) == ("confirm", wording)
            assert text_of(case, "field") == text_of(case, "trigger") == text_of(case, "field", "corrupt")
            assert text_of(case, "trigger", "corrupt") != text_of(case, "trigger")
            assert (case.clean.spans["field"][0] > case.clean.spans["trigger"][0]) == late
            assert {case.clean.kinds[i] for i in range(*case.clean.spans["fillers"])} == {"filler"}
            assert " or ".join(case.actions) in case.clean.text or " or ".join(case.actions[::-1]) in (
                case.clean.text
            )
            assert ("early." in case.clean.text) == (layout == "talk")
            assert case.clean.text.endswith(known.layout(style).cue)
    assert (
        '{"box state": "'
        in polarity_case(
            known.families[0], 0, tiny.tokenizer, seed=0, style=Style(layout="json"), scenarios=known
        ).clean.text
    )


def test_fillers_end_in_line_breaks_or_blanks_as_the_layout_has_them(tmp_path: Path) -> None:
    known = Scenarios.load(written(tmp_path, small()))
    tokenizer = tiny_model("llama").tokenizer
    ends = {}
    for name in ("json", "talk"):
        style = Style(n_fillers=2, layout=name)
        case = field_case(known.families[0], 0, tokenizer, seed=0, style=style, scenarios=known)
        used = [line for line in known.fillers if line in case.clean.text]
        assert len(used) == 2
        ends[name] = {case.clean.text[case.clean.text.index(line) + len(line)] for line in used}
    assert ends["json"] == {"\n"}
    assert " " in ends["talk"]


def test_every_kind_of_case_can_be_made_of_a_file_of_ones_own(tmp_path: Path) -> None:
    tokenizer = tiny_model("llama").tokenizer
    data = small()
    data["families"][0]["values"] = ["green", "red", "heavy"]
    known = Scenarios.load(written(tmp_path, data))
    family = known.families[0]
    style = Style(n_fillers=2, layout="json")
    case = field_case(family, 0, tokenizer, seed=0, style=style, scenarios=known)
    # Records of one letter and four digits differ in length, so a twin has to be drawn for; bystanders do not
    # stand in this layout.
    twin = same_conclusion_twin(case, 0, tokenizer, seed=0, style=style, scenarios=known)
    assert (twin.family, twin.clean.spans) == ("boxes", case.clean.spans)
    mine = quad(family, 0, tokenizer, seed=0, style=style, scenarios=known)
    assert quad_twin(mine, family, 0, tokenizer, seed=0, style=style, scenarios=known).family == "boxes"
    assert off_template_case("multi_hop", family, 0, tokenizer, seed=0, scenarios=known).split == "confirm"
    for talk in ("json", "talk"):
        task = edit_task(
            family, 0, tokenizer, seed=0, matches=True, style=Style(layout=talk), scenarios=known
        )
        held = {s.name: s.text for m in task.messages for s in m.segments if s.kind == "field"}
        assert held[task.field] == task.old
    assert lookup_task(family, 0, tokenizer, seed=0, matches=True, scenarios=known).wording == "lookup"
    with pytest.raises(PkvError, match="the layout 'json' has no line for a second field"):
        class_cases(
            family, 0, tokenizer, field_class="low", fillers=(0,), seed=0, style=style, scenarios=known
        )
    high = class_cases(
        family, 0, tokenizer, field_class="high", fillers=(2,), seed=0, style=style, scenarios=known
    )
    assert {found.case.wording for found in high} <= set(known.rules)


def test_a_layout_without_a_reason_is_not_asked_for_one(tmp_path: Path) -> None:
    known = Scenarios.load(written(tmp_path, small()))
    with pytest.raises(PkvError, match="the layout 'json' does not ask for a reason"):
        field_case(
            known.families[0],
            0,
            tiny_model("llama").tokenizer,
            seed=0,
            style=Style(reason_first=True),
            scenarios=known,
        )


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
