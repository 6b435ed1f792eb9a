"""Edits in layouts whose rule is code: the code that an edited context holds, run, says what it calls for."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from experiments.agent.settings import AgentSettings
from experiments.composing.settings import ComposingSettings
from experiments.editing.settings import EditingSettings
from experiments.keystone.settings import CUTS, KeystoneSettings
from experiments.train_gate.settings import TrainGateSettings
from experiments.weight_edits.settings import WeightEditsSettings
from pkv_interp.editing import State
from pkv_interp.editing.decision import option_ids
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_decisions import append_erratum, scored
from pkv_interp.measure.edit_ranking import aligned
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.opened import prompt_of
from pkv_interp.models.load import LoadedModel
from pkv_interp.records import load_records
from pkv_interp.run.settings import ExperimentSettings, checked
from pkv_interp.tasks import Style, default_scenarios
from pkv_interp.tasks.scenarios import code_layouts
from tests import runs
from tests.families import tiny
from tests.tasks.run_code import RUN
from tests.tasks.test_code_layouts import NAMES, code_file
from tests.tasks.test_scenarios import written

#: By layout, the places that its field can have: late or not.
PLACES = [
    (one.name, late)
    for one in code_layouts()
    for late in (False, True)
    if one.swaps or late == one.field_late
]
#: Wordings that are code and not comments; a query that has run is not changed by what comes after it.
CODE = dict.fromkeys(NAMES, ("bare", "tagged", "override", "re_evaluate"))
CODE |= {"sql": ()} | dict.fromkeys(("json", "json_lean", "json_lean_late"), ("bare",))


@cache
def source(layout: str) -> SceneSource:
    return SceneSource.of(EditingSettings(layout=layout, rank_instances=1), tiny("llama").tokenizer)


@cache
def scenes(layout: str, late: bool = False, *, planted: bool = False) -> tuple[EditScene, ...]:
    drawn = replace(source(layout), families=source(layout).families[1:4:2])
    return tuple(drawn.scenes(drawn.style(2, late), 1, planted=planted))


@cache
def base(layout: str, late: bool, at: int) -> State:
    return open_context(tiny("llama"), scenes(layout, late)[at]).prefill()


def run_code(layout: str, state: State) -> str:
    return RUN[layout](state.text + state.suffix())


@pytest.mark.parametrize(("layout", "late"), PLACES)
def test_every_state_says_in_code_what_it_calls_for(layout: str, late: bool) -> None:
    """The interpreter of the language is the judge: it reads the whole text, errata included."""
    at = 2 if late else 1  # of two families, one edit from the trigger and one to it
    scene = scenes(layout, late)[at]
    task, before = scene.task, base(layout, late, at)
    assert run_code(layout, before) == task.old_action
    assert run_code(layout, before.edit(task.field, task.new, "full_reprefill")) == task.new_action
    for wording in CODE[layout]:
        told = append_erratum(before, task.field, task.new, wording)
        assert run_code(layout, told) == task.new_action
        assert run_code(layout, append_erratum(told, task.field, task.old, wording)) == task.old_action
    if CODE[layout]:
        assert run_code(layout, before.edit(task.field, task.new, "hoist")) == task.new_action
    (name, (_, other)), *_ = task.bystanders.items()
    assert run_code(layout, append_erratum(before, name, other, "natural")) == task.old_action


@pytest.mark.parametrize(("layout", "late"), PLACES)
def test_tokens_and_options_are_those_of_the_pair(layout: str, late: bool) -> None:
    """The whole prompt and the actions' tokens, by the route that makes cases."""
    at = 2 if late else 1
    scene = scenes(layout, late)[at]
    state, case = base(layout, late, at), source(layout).matching_case(scene)
    side = case.corrupt if scene.task.matches else case.clean
    assert aligned(state, scene, case)
    assert prompt_of(state) == side.ids
    ids = option_ids(state.context.renderer, state.suffix(), case.actions)
    assert ids == case.action_ids
    field, rule = side.spans["field"], side.spans["trigger"]
    assert (field > rule) == late == (scene.place == "late")


@pytest.mark.parametrize("layout", [one.name for one in code_layouts() if one.read_back is not None])
def test_a_lookup_and_a_planted_line_are_code_as_well(layout: str) -> None:
    loaded = tiny("llama")
    late = source(layout).scenarios.layouts[0].field_late
    (scene, *_), (planted, *_) = scenes(layout, late), scenes(layout, late, planted=True)
    copied = source(layout).looked_up(scene)
    assert copied is not None
    state = open_context(loaded, copied).prefill()
    assert copied.task.field == "assigned_action"
    assert copied.task.old in state.text
    assert copied.task.new not in state.text
    asked = state.text + state.suffix()
    if layout.startswith("python"):
        assert RUN[layout](asked) == copied.task.old
    assert "Action:" not in asked
    assert scored(state.decide(copied.actions), copied.actions).margin != 0
    with_line, without = (open_context(loaded, one).prefill().text for one in (planted, scene))
    assert with_line.startswith(without)
    sentence = default_scenarios().planted.format(action=planted.task.old_action)
    (line,) = with_line.removeprefix(without).splitlines()
    assert line.endswith(sentence)
    assert line == source(layout).scenarios.layouts[0].filler.format(filler=sentence)


def test_several_tokens_of_an_action_are_read_by_the_first() -> None:
    scene = scenes("json")[0]
    renderer, suffix = base("json", False, 0).context.renderer, base("json", False, 0).suffix()
    long = [f"{word} right now" for word in scene.actions]
    assert option_ids(renderer, suffix, long) == option_ids(renderer, suffix, scene.actions)
    decided = base("json", False, 0).decide(long)
    first = int(decided.logits.argmax())
    option = dict(zip(decided.ids, long, strict=True)).get(first)
    assert decided.likeliest_option == option
    forced = replace(decided, logits=decided.logits.index_fill(0, torch.tensor(decided.ids[:1]), 1e9))
    assert forced.likeliest_option == long[0]


def test_an_erratum_about_a_field_that_does_not_stand_there_is_a_line() -> None:
    scene, state = scenes("python_script")[0], base("python_script", False, 0)
    name, (_, other) = next(iter(scene.task.bystanders.items()))
    assert name not in state.fields
    told = append_erratum(state, name, other, "bare")
    assert told.text.removeprefix(state.text) == f'{name.replace(" ", "_")} = "{other}"\n'
    assert told.fields == state.fields


def test_a_layout_that_has_its_field_late_is_the_other_place_of_its_twin() -> None:
    early, late = source("python_script"), source("python_script_late")
    assert early.style(2, late=True).field_late
    assert late.style(2, late=True) == replace(early.style(2), layout="python_script_late")
    texts = [
        open_context(tiny("llama"), scenes(layout, True)[0]).prefill().text
        for layout in ("python_script", "python_script_late")
    ]
    assert texts[0] == texts[1]


def test_places_and_chains_are_those_that_code_has() -> None:
    assert EditingSettings().at == EditingSettings(layout="python_script").at == ("early", "late")
    settings = EditingSettings(layout="json")
    assert (settings.at, settings.chained, EditingSettings().chained) == (("early",), False, True)
    assert settings.remarks()[:2] == (
        "no chains of thought: the layout 'json' is code",
        "one place of the field, early: the layout 'json' has it there",
    )
    assert not any("chains" in line for line in EditingSettings(layout="json", cot=False).remarks())
    with pytest.raises(PkvError, match="'json' cannot have the field late; leave places out"):
        checked(EditingSettings, {"layout": "json", "places": ["late"]})


@pytest.mark.parametrize("kind", [AgentSettings, ComposingSettings, TrainGateSettings, WeightEditsSettings])
def test_what_needs_sentences_is_refused_in_code(kind: type[ExperimentSettings], tmp_path: Path) -> None:
    with pytest.raises(
        PkvError, match="the rule of the layout 'python_script' is code, and .*; leave layout"
    ):
        checked(kind, {"layout": "python_script"})
    own = str(written(tmp_path, code_file()))
    with pytest.raises(PkvError, match="the rule of the layout 'ternary' is code"):
        checked(kind, {"scenarios": own, "layout": "ternary"})


def test_blocks_of_code_are_cut_without_tools() -> None:
    assert KeystoneSettings().cuts == CUTS
    assert KeystoneSettings(layout="python_script").cuts == {
        "colocated": (("session", "policy"),),
        "split": (("session",), ("policy",)),
    }


def test_a_field_that_cannot_stand_before_its_rule_is_refused_in_keystone() -> None:
    with pytest.raises(PkvError, match="'json_lean_late' has the field after the rule, .*; choose"):
        checked(KeystoneSettings, {"layout": "json_lean_late"})
    assert checked(KeystoneSettings, {"layout": "python_script_late"}).laid_out.swaps


def test_own_code_may_name_its_errata(tmp_path: Path) -> None:
    data = code_file()
    data["layouts"][0]["errata"] = {"override": "{field} = '{value}'  # corrected"}
    path = str(written(tmp_path, data))
    settings = EditingSettings(scenarios=path, rank_instances=1)  # pyright: ignore[reportArgumentType]
    drawn = SceneSource.of(settings, tiny("llama").tokenizer)
    scene = drawn.scenes(drawn.style(0), 1)[0]
    assert drawn.looked_up(scene) is None  # it has no read_back
    state = open_context(tiny("llama"), scene).prefill()
    field, new = scene.task.field, scene.task.new
    named = {
        "override": f"{field} = '{new}'  # corrected\n",
        "natural": f"# We have just learned that the {field} turned into {new}.\n",
        "now {field} is {value}": f"now {field} is {new}\n",
    }
    for wording, line in named.items():
        assert append_erratum(state, field, new, wording).text == f"{state.text}{line}"
    with pytest.raises(PkvError, match="'nothing' is neither known nor has {value} in it"):
        append_erratum(state, field, new, "nothing")


@pytest.mark.parametrize("experiment", ["editing", "keystone"])
def test_it_runs_from_end_to_end(experiment: str, tmp_path: Path) -> None:
    less = ["layout=python_script", "families=[orders,alerts]", "verify=none"]
    fewer = {
        "editing": ["methods=[stale,erratum,hoist,full_reprefill]", "top_k=[1]", "turns=2", "traced_cases=1",
                    "horizon_cases=1", "ask_with=[]"],
        "keystone": ["methods=[stale,erratum]", "rank_instances=1"],
    }  # fmt: skip
    runs.small(experiment, tmp_path, *less, *fewer[experiment])
    (record,) = load_records(tmp_path)
    assert record.status == "success"
    controls = {control.name: control.value for control in record.controls}
    assert controls["positions_agree"] == 1.0
    assert 0 <= controls["trace_equals_api"] < 1e-4
    if experiment == "editing":
        assert {str(line["edit"]) for line in record.tables["diagnostic"]} == {"gating", "value", "all"}
        assert {str(line["place"]) for line in record.tables["traced"]} == {"early", "late"}
        assert "chains" not in record.tables
        assert "middle" not in {str(line["arm"]) for line in record.tables["errata"]}
    else:
        assert [line["cut"] for line in record.tables["cuts"]] == ["colocated", "split"]


def test_scenes_of_before_have_the_place_of_their_style() -> None:
    loaded: LoadedModel = tiny("llama")
    prose = SceneSource.of(EditingSettings(rank_instances=1), loaded.tokenizer)
    (scene, *_) = prose.scenes(Style(2, True), 1)
    assert (scene.late, scene.place, replace(scene, late=None).place) == (True, "late", "late")
