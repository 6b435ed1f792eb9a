"""Edit tasks: the same prompts as the field pairs, with every field in a segment of its own."""

import pytest

from pkv_interp.tasks import FAMILIES, Family, Style, field_case
from pkv_interp.tasks.edits import EditTask, edit_task, lookup_task
from pkv_interp.tasks.off_template import off_template_case
from tests.families import tiny

STYLE = Style(n_fillers=3)


def text_of(task: EditTask) -> str:
    return "".join(message.text for message in task.messages) + task.question


def values_of(task: EditTask) -> dict[str | None, str]:
    return {s.name: s.text for m in task.messages for s in m.segments if s.kind == "field"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
@pytest.mark.parametrize("matches", [True, False])
def test_the_prompt_is_a_side_of_the_field_pair(family: Family, matches: bool) -> None:
    tokenizer = tiny("llama").tokenizer
    task = edit_task(family, 1, tokenizer, seed=3, matches=matches, style=STYLE)
    case = field_case(family, 1, tokenizer, seed=3, style=STYLE)
    side = case.corrupt if matches else case.clean
    for message in (*task.messages[:-1], task.messages[-1]):
        assert message.text in side.text
    assert task.question in side.text
    assert task.actions == case.actions
    assert task.new_action == case.actions[0 if matches else 1]
    assert {task.old_action, task.new_action} == set(case.actions)


def test_every_field_stands_in_a_segment_of_its_label() -> None:
    task = edit_task(FAMILIES[0], 0, tiny("llama").tokenizer, seed=0, matches=True, style=STYLE)
    held = values_of(task)
    assert held.pop(task.field) == task.old
    assert held == {name: value for name, (value, _) in task.bystanders.items()}
    assert len(task.bystanders) == 2
    assert all(value != another for value, another in task.bystanders.values())


def test_a_planted_conclusion_states_the_old_action_after_the_request() -> None:
    plain, planted = (
        edit_task(FAMILIES[2], 0, tiny("llama").tokenizer, seed=0, matches=False, planted=p)
        for p in (False, True)
    )
    added = (
        text_of(planted)
        .replace(planted.question, "")
        .removeprefix(text_of(plain).replace(plain.question, ""))
    )
    assert plain.old_action in added
    assert plain.new_action not in added


@pytest.mark.parametrize("matches", [True, False])
def test_a_lookup_copies_its_field(matches: bool) -> None:
    tokenizer = tiny("llama").tokenizer
    task = lookup_task(FAMILIES[1], 0, tokenizer, seed=0, matches=matches)
    case = off_template_case("lookup", FAMILIES[1], 0, tokenizer, seed=0, style=STYLE)
    side = case.corrupt if matches else case.clean
    assert all(message.text in side.text for message in task.messages)
    assert task.question in side.text
    assert values_of(task)[task.field] == task.old == task.old_action
    assert task.new == task.new_action == task.actions[0 if matches else 1]
