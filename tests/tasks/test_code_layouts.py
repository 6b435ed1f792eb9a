"""Layouts whose rule is code: the code itself, run, says what each prompt of a pair calls for."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from experiments.circuit.settings import CircuitSettings
from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt
from pkv_interp.run.settings import checked
from pkv_interp.tasks import (
    FAMILIES,
    Case,
    Family,
    Scenarios,
    Style,
    default_scenarios,
    field_case,
    polarity_case,
)
from pkv_interp.tasks.checks import check_scenarios
from pkv_interp.tasks.edits import edit_task
from pkv_interp.tasks.field_classes import class_cases
from pkv_interp.tasks.quads import quad, quad_twin
from pkv_interp.tasks.scenarios import code_layouts
from tests.families import tiny as tiny_model
from tests.tasks.run_code import RUN, in_prompt, printed
from tests.tasks.test_scenario_problems import changed
from tests.tasks.test_scenarios import small, written

KINDS = {"field": field_case, "polarity": polarity_case}
NAMES = [layout.name for layout in code_layouts()]
BOTH = [layout.name for layout in code_layouts() if "{other_value}" in "".join((layout.rules or {}).values())]


def made(kind: str, family: Family, layout: str, index: int = 0, **style: Any) -> Case:
    tokenizer = tiny_model("llama").tokenizer
    return KINDS[kind](family, index, tokenizer, seed=5, style=Style(layout=layout, **style))


def text_of(prompt: Prompt, span: str) -> str:
    return "".join(prompt.tokens[slice(*prompt.spans[span])]).strip()


def test_every_packaged_layout_is_run_here() -> None:
    assert list(RUN) == NAMES


@pytest.mark.parametrize("layout", NAMES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("late", [False, True])
def test_the_code_gives_the_action_of_each_side(layout: str, kind: str, late: bool) -> None:
    for family in FAMILIES[::5]:
        case = made(kind, family, layout, index=1, field_late=late and not layout.startswith(("json", "sql")))
        clean, corrupt = case.clean, case.corrupt
        if not (late and layout.startswith("python_chat")):  # the fence stands in the block of the field
            assert (RUN[layout](clean.text), RUN[layout](corrupt.text)) == case.actions
        differs = [i for i, (a, b) in enumerate(zip(clean.ids, corrupt.ids, strict=True)) if a != b]
        assert differs[0] >= case.change[0]
        assert differs[-1] < case.change[1]
        assert case.change[1] <= clean.decision
        for span in ("field", "action_act", "action_other", "question", "fillers"):
            kept = text_of(clean, span) == text_of(corrupt, span)
            assert kept == (case.changed != span)
        assert (text_of(clean, "action_act"), text_of(clean, "action_other")) == case.actions
        assert "".join(case.clean.tokens[slice(*clean.spans["decision"])]).strip() in clean.text[-40:]
        assert family.field.replace(" ", "_") in clean.text
        assert " " not in family.field or family.field not in clean.text


@pytest.mark.parametrize("layout", NAMES)
def test_answers_are_read_as_they_stand_there(layout: str) -> None:
    tokenizer = tiny_model("llama").tokenizer
    for family in FAMILIES:
        case = made("field", family, layout)
        blank = "" if layout.startswith("json") or case.clean.text.endswith("\n") else " "
        for action, wanted in zip(case.actions, case.action_ids, strict=True):
            whole = f"{case.clean.text}{blank}{action}"
            # A chat template has written the first token already.
            ids = tokenizer(whole, add_special_tokens=not layout.startswith("python_chat"))["input_ids"]
            assert ids[len(case.clean)] == wanted


def test_a_rule_with_both_values_has_one_span_from_the_first_to_the_second() -> None:
    lean = {
        f"{name}{late}"
        for name in (
            *("python_script", "python_prompt", "python_match_script", "python_chat_lean"),
            *("yaml_lean", "json_lean", "sql_view"),
        )
        for late in ("", "_late")
    }
    assert set(BOTH) == {"python_dict", "python_chat", "yaml", "json"} | lean
    for layout in NAMES:
        case = made("polarity", FAMILIES[0], layout)
        span = text_of(case.clean, "trigger")
        held = text_of(case.clean, "field")
        assert span.startswith(held)
        assert (span == held) == (layout not in BOTH)
        inside = case.clean.spans["action_act"][1] <= case.change[1]
        assert inside == (layout in BOTH or layout == "python_default")


@pytest.mark.parametrize("layout", NAMES)
def test_quads_twins_and_edits_are_made_in_it(layout: str) -> None:
    tokenizer = tiny_model("llama").tokenizer
    style = Style(layout=layout, n_fillers=0)
    mine = quad(FAMILIES[2], 0, tokenizer, seed=0, style=style)
    assert RUN[layout](mine.prompts[0].text) == RUN[layout](mine.prompts[2].text) == mine.field.actions[0]
    assert quad_twin(mine, FAMILIES[2], 0, tokenizer, seed=0, style=style).field.actions == mine.field.actions
    task = edit_task(FAMILIES[2], 0, tokenizer, seed=0, matches=True, style=style)
    assert task.field == "build_state"
    assert task.old in task.messages[-1].text
    assert task.cue == mine.field.clean.text[-len(str(task.cue)) :]
    assert task.chat == layout.startswith("python_chat")


def test_a_rule_with_both_values_is_refused_where_a_third_can_stand() -> None:
    tokenizer = tiny_model("llama").tokenizer
    for layout in NAMES:
        ask = {"field_class": "high", "fillers": (0,), "seed": 0, "style": Style(layout=layout)}
        if layout in BOTH:
            with pytest.raises(PkvError, match="names two values, and this prompt has others; .* a default"):
                class_cases(FAMILIES[0], 0, tokenizer, **ask)
        else:
            assert class_cases(FAMILIES[0], 0, tokenizer, **ask)


def test_labels_become_names_of_variables() -> None:
    named = code_layouts()[0].label
    assert [named(label) for label in ("fare kind", "re-check (2nd)", "class", "2nd desk", "?")] == [
        "fare_kind",
        "re_check_2nd",
        "field_class",
        "field_2nd_desk",
        "field",
    ]
    assert default_scenarios().layouts[0].label("fare kind") == "fare kind"


def test_a_layout_is_chosen_by_name_and_brings_its_rules() -> None:
    world = CircuitSettings(layout="sql").world
    assert (list(world.rules), [one.name for one in world.layouts]) == (["case"], ["sql"])
    assert world.by_name["orders"].field == "order_status"
    assert CircuitSettings(layout="field_late").world is CircuitSettings().world is default_scenarios()
    with pytest.raises(PkvError, match="unknown layout 'python_dikt'; did you mean 'python_dict'"):
        CircuitSettings(layout="python_dikt")


def code_file() -> dict[str, Any]:
    data = small()
    del data["rules"]
    data["layouts"] = [
        {
            "name": "ternary",
            "chat": False,
            "identifiers": True,
            "before_value": " '",
            "before_answer": "",
            "first_token": True,
            "role": "# {role}",
            "filler": "# {filler}",
            "state": "{field} = '{value}'",
            "rule": "{before}{rule}\n{after}",
            "rules": {"ternary": "action = '{act}' if {field} == '{trigger}' else '{other}'"},
            "ask": "# {request}\n# It is printed.",
            "cue": "action = '",
        }
    ]
    return data


def test_a_file_of_ones_own_defines_one(tmp_path: Path) -> None:
    tokenizer = tiny_model("llama").tokenizer
    path = written(tmp_path, code_file())
    assert check_scenarios(path, tokenizer) == []
    known = Scenarios.load(path)
    for layout in (None, "ternary", "python_dict"):
        style = Style(layout=layout)
        case = polarity_case(known.families[0], 0, tokenizer, seed=0, style=style, scenarios=known)
        if layout == "python_dict":  # a packaged one serves families of one's own
            assert in_prompt(case.clean.text) == case.actions[0]
        else:
            assert case.clean.text.endswith("\naction = '")
            assert "box_state = '" in case.clean.text
            source = case.corrupt.text.rpartition("\naction")[0] + "\nprint(action)"
            assert printed(source) == case.actions[1]
    settings = checked(CircuitSettings, {"scenarios": str(path), "layout": "python_dict"})
    assert settings.checked_world(tokenizer).rules.keys() == {"both"}


@pytest.mark.parametrize(
    ("key", "value", "place", "reason"),
    [
        ("rules", {"a": "{act} {other}"}, "rules, a", "the placeholder {trigger} is missing"),
        ("rules", {"a": "{trigger} {act} {other} {who}"}, "rules, a", "unknown placeholder {who}"),
        ("rules", {}, "rules", "0 entries"),
        ("ask", "# {request}\n", "ternary", "nothing stands after {request}"),
        ("ask", "# {menu} {request}?", "ternary", "{menu} stands before {request}"),
        ("ask", "# What is it?", "ternary", "{request} must stand in ask, or in the state"),
        ("state", "# {request}\n{field} = '{value}'", "ternary", "{request} must stand in ask, or in"),
        ("cue", "{value}", "cue", "unknown placeholder {value}"),
        ("role", "#", "role", "the placeholder {role} is missing"),
        ("filler", "# {text}", "filler", "unknown placeholder {text}"),
    ],
)
def test_a_wrong_one_is_told_with_its_place(
    key: str, value: Any, place: str, reason: str, tmp_path: Path
) -> None:
    data = code_file()
    data["layouts"][0][key] = value
    (finding,) = check_scenarios(written(tmp_path, data))
    assert "layout 'ternary'" in finding.place
    assert place in finding.place
    assert reason in finding.reason


def test_without_rules_of_its_own_a_layout_keeps_the_old_form(tmp_path: Path) -> None:
    data = small()
    data["layouts"][0]["cue"] = "answer = {"
    assert check_scenarios(written(tmp_path, data)) == []
    assert check_scenarios(written(tmp_path, changed("layouts.0.state", "{field} {value} {request}")))
    data["layouts"][0]["ask"] = "{request} and {field}, {menu}?"
    (finding,) = check_scenarios(written(tmp_path, data))
    assert "unknown placeholder {field}" in finding.reason


def test_actions_that_start_alike_are_told() -> None:
    tokenizer = tiny_model("llama").tokenizer
    family = replace(FAMILIES[0], actions=("cancel", "cancel it"))
    with pytest.raises(PkvError, match="share their token"):
        field_case(family, 0, tokenizer, seed=0, style=Style(layout="json"))
