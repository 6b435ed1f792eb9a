"""Quads cross field and trigger on one surface; off-template prompts flip the field and nothing else."""

import pytest

from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Prompt
from pkv_interp.tasks import BY_NAME, FAMILIES, Style, split_of
from pkv_interp.tasks.off_template import TEMPLATES, Template, off_template_case
from pkv_interp.tasks.quads import CONCLUSIONS, quad, quad_twin, value_pair
from pkv_interp.tasks.sites import positions_by_label, single_labels, site_labels
from tests.families import tiny as tiny_model

BUILD = {"seed": 0, "style": Style(n_fillers=1)}


def text_of(prompt: Prompt, span: str) -> str:
    return "".join(prompt.tokens[slice(*prompt.spans[span])]).strip()


def changed_tokens(first: Prompt, second: Prompt) -> set[int]:
    return {i for i, (a, b) in enumerate(zip(first.ids, second.ids, strict=True)) if a != b}


def test_field_and_conclusion_vary_apart(tiny: LoadedModel) -> None:
    for family in FAMILIES:
        for index in (0, 1):
            mine = quad(family, index, tiny.tokenizer, **BUILD)  # type: ignore[arg-type]
            held = [text_of(p, "field") for p in mine.prompts]
            named = [text_of(p, "trigger") for p in mine.prompts]
            v, o = mine.values
            assert (held, named) == ([v, v, o, o], [v, o, o, v])
            assert tuple(a == b for a, b in zip(held, named, strict=True)) == CONCLUSIONS
            first = value_pair(family, tiny.tokenizer, 0)[0]
            assert mine.fields == tuple(value == first for value in held)
            assert len({(len(p), tuple(p.spans.items())) for p in mine.prompts}) == 1
            trigger = set(range(*mine.polarity.clean.spans["trigger"]))
            for case in (mine.polarity, mine.opposite):
                assert case.changed == "trigger"
                assert changed_tokens(case.clean, case.corrupt) <= trigger
            assert changed_tokens(mine.field.clean, mine.field.corrupt) <= set(
                range(*mine.field.clean.spans["field"])
            )
            assert mine.polarity.action_ids == mine.opposite.action_ids == mine.field.action_ids


def test_first_values_take_turns() -> None:
    tokenizer = tiny_model("llama").tokenizer
    pairs = [quad(BY_NAME["orders"], i, tokenizer, **BUILD).values for i in range(4)]  # type: ignore[arg-type]
    assert pairs[0] == pairs[2] == pairs[1][::-1] == pairs[3][::-1]


def test_a_twin_reaches_the_same_conclusions_about_another_record(tiny: LoadedModel) -> None:
    family = BY_NAME["alerts"]
    mine = quad(family, 2, tiny.tokenizer, **BUILD)  # type: ignore[arg-type]
    twin = quad_twin(mine, family, 2, tiny.tokenizer, **BUILD)
    assert twin.instance != mine.instance
    assert twin.values == mine.values
    assert twin.field.actions == mine.field.actions
    for ours, theirs in zip(mine.prompts, twin.prompts, strict=True):
        assert ours.spans == theirs.spans
        assert len(ours) == len(theirs)
        assert ours.ids != theirs.ids
        for span in ("field", "trigger"):
            assert text_of(ours, span) == text_of(theirs, span)


def test_single_labels_name_one_position() -> None:
    case = quad(BY_NAME["orders"], 0, tiny_model("llama").tokenizer, **BUILD).polarity  # type: ignore[arg-type]
    named = site_labels(case.clean)[case.after_change : case.clean.decision]
    single = sorted(single_labels(case.clean, case.after_change))
    assert "question-0" in single
    assert "filler" not in single
    assert all(named.count(label) == 1 for label in single)
    at = positions_by_label(case.clean, single, case.after_change)
    assert [site_labels(case.clean)[i] for i in at] == single
    assert all(case.after_change <= i < case.clean.decision for i in at)


@pytest.mark.parametrize("template", TEMPLATES)
def test_off_template_pairs_flip_the_field(template: Template, tiny: LoadedModel) -> None:
    for family in FAMILIES:
        case = off_template_case(template, family, 0, tiny.tokenizer, seed=0, style=Style())
        field = set(range(*case.clean.spans["field"]))
        assert (case.wording, case.changed, case.split) == (template, "field", split_of(family.name))
        assert changed_tokens(case.clean, case.corrupt) <= field
        held = [text_of(p, "field") for p in (case.clean, case.corrupt)]
        assert len(set(held)) == 2
        if template == "lookup":
            assert held == list(case.actions)
        else:
            assert set(held) <= set(family.values)
        if template == "conversational":
            assert f"we {case.actions[0]} when it shows {held[0]}" in case.clean.text


def test_two_hops_lead_to_the_action_of_the_value() -> None:
    for index in range(4):
        case = off_template_case(
            "multi_hop", BY_NAME["stock"], index, tiny_model("llama").tokenizer, seed=0, style=Style()
        )
        for prompt, action in zip((case.clean, case.corrupt), case.actions, strict=True):
            value = text_of(prompt, "field")
            shelf = prompt.text.split(f"at {value} it goes to the ")[1].split()[0]
            assert prompt.text.split(f"for the {shelf} shelf the right action is ")[1].startswith(action)
