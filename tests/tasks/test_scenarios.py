"""Scenario files: the packaged one, one of a researcher's own, and every kind of problem."""

import json
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
    Scenarios,
    Style,
    default_scenarios,
    field_case,
    polarity_case,
)
from pkv_interp.tasks.edits import edit_task, lookup_task
from pkv_interp.tasks.field_classes import class_cases
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
    assert [layout.name for layout in known.layouts] == ["standard", "field_late", "published"]
    assert (len(FAMILIES), len(known.rules), len(known.fillers)) == (16, 4, 32)


def test_the_late_layout_is_the_standard_one_with_two_blocks_swapped(tiny: LoadedModel) -> None:
    by_layout = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1, style=Style(layout="field_late"))
    swapped = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1, style=Style(field_late=True))
    plain = field_case(FAMILIES[3], 2, tiny.tokenizer, seed=1)
    assert by_layout == swapped != plain


def test_the_published_layout_has_the_blocks_in_their_published_order(tiny: LoadedModel) -> None:
    case = field_case(FAMILIES[0], 0, tiny.tokenizer, seed=0, style=Style(n_fillers=30, layout="published"))
    blocks = ("system", "field", "rule", "tools", "question", "decision")
    starts = [case.clean.spans[block][0] for block in blocks]
    assert starts == sorted(starts)
    assert "".join(case.clean.tokens).rstrip().endswith("tool_call:")


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
