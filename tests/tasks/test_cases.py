"""Cases: alignment, spans, splits and readout, through every chat template."""

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.readout import action_ids
from pkv_interp.tasks import (
    BY_NAME,
    DISCOVERY,
    FAMILIES,
    HELD_OUT,
    Case,
    Family,
    Style,
    families,
    field_case,
    polarity_case,
)
from pkv_interp.tasks.alignment import aligned_values, check_values
from pkv_interp.tasks.sites import positions_of, site_labels
from pkv_interp.tasks.wordings import RULES
from tests.families import tiny


def spanned(case: Case, name: str, side: str = "clean") -> str:
    prompt = getattr(case, side)
    start, end = prompt.spans[name]
    return "".join(prompt.tokens[start:end])


def test_there_are_enough_families_and_the_splits_are_disjoint() -> None:
    assert len(FAMILIES) >= 12
    assert not set(DISCOVERY) & set(HELD_OUT)
    assert {*DISCOVERY, *HELD_OUT} == {f.name for f in FAMILIES}
    assert all(2 <= len(f.values) <= 4 for f in FAMILIES)
    assert len(BY_NAME) == len(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_polarity_pairs_flip_the_trigger_and_nothing_else(family: Family, tiny: LoadedModel) -> None:
    for index, wording in enumerate(RULES):
        case = polarity_case(family, index, tiny.tokenizer, seed=3)
        assert case.wording == wording
        assert len(case.clean) == len(case.corrupt)
        different = [
            i for i, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b
        ]
        assert set(different) <= set(range(*case.clean.spans["trigger"]))
        assert different
        assert spanned(case, "field").strip() == spanned(case, "trigger").strip()
        assert spanned(case, "field", "corrupt") == spanned(case, "field")
        assert spanned(case, "trigger", "corrupt").strip() != spanned(case, "field").strip()


@pytest.mark.parametrize("family", FAMILIES[::5], ids=lambda f: f.name)
def test_field_pairs_flip_the_field_and_nothing_else(family: Family, tiny: LoadedModel) -> None:
    case = field_case(family, 1, tiny.tokenizer, seed=3, style=Style(field_late=True))
    different = [i for i, (a, b) in enumerate(zip(case.clean.ids, case.corrupt.ids, strict=True)) if a != b]
    assert set(different) <= set(range(*case.clean.spans["field"]))
    assert different
    assert case.clean.spans["field"][0] > case.clean.spans["trigger"][0]


def test_spans_hold_their_text_and_the_cue_ends_the_prompt(tiny: LoadedModel) -> None:
    case = polarity_case(BY_NAME["alerts"], 0, tiny.tokenizer, seed=0, style=Style(n_fillers=4))
    assert spanned(case, "decision").strip() == "Action:"
    assert case.clean.spans["decision"][1] == len(case.clean)
    assert spanned(case, "trigger").strip() in BY_NAME["alerts"].values
    assert "Tools" in spanned(case, "tools")
    assert {case.clean.kinds[i] for i in range(*case.clean.spans["fillers"])} <= {"filler"}
    assert sum(k == "filler" for k in case.clean.kinds) >= 40


def test_no_template_and_template_give_the_same_words(tiny: LoadedModel) -> None:
    with_template = polarity_case(BY_NAME["stock"], 0, tiny.tokenizer, seed=0)
    raw = polarity_case(BY_NAME["stock"], 0, tiny.tokenizer, seed=0, style=Style(chat=False))
    assert len(raw.clean) < len(with_template.clean)
    for name in ("field", "trigger", "question", "decision"):
        assert spanned(raw, name).strip() == spanned(with_template, name).strip()


def test_there_is_one_bos_at_most(tiny: LoadedModel) -> None:
    for chat in (True, False):
        case = polarity_case(BY_NAME["orders"], 0, tiny.tokenizer, seed=0, style=Style(chat=chat))
        assert sum(i == tiny.tokenizer.bos_token_id for i in case.clean.ids[:4]) <= 1


def test_actions_are_single_tokens_in_context(tiny: LoadedModel) -> None:
    case = polarity_case(BY_NAME["fares"], 2, tiny.tokenizer, seed=0)
    assert len(set(case.action_ids)) == 2
    for token, action in zip(case.action_ids, case.actions, strict=True):
        assert str(tiny.tokenizer.decode([token])).strip() == action


def test_an_action_of_several_tokens_is_refused() -> None:
    tokenizer = tiny("llama").tokenizer
    case = polarity_case(BY_NAME["orders"], 0, tokenizer, seed=0)
    with pytest.raises(PkvError, match="'xylophonist' is not one token"):
        action_ids(case.clean, ("xylophonist", "deny"), tokenizer)


def test_values_of_different_length_are_refused_with_candidates() -> None:
    tokenizer = tiny("llama").tokenizer
    with pytest.raises(
        PkvError, match=r"differ in token length.*choose values of one length, for example .*pending/"
    ):
        polarity_case(BY_NAME["orders"], 0, tokenizer, seed=0, values=("pending", "xylophonist qqq"))
    odd = Family("odd", "r", "f", ("pending", "xylophonist qqq"), ("cancel", "deny"), "{id}")
    with pytest.raises(PkvError, match="no two values of one token length"):
        aligned_values(odd, tokenizer)
    check_values(BY_NAME["orders"], ("pending", "shipped"), tokenizer)


def test_cases_are_reproducible_and_depend_on_the_seed() -> None:
    tokenizer = tiny("qwen3").tokenizer
    make = lambda seed, index: polarity_case(BY_NAME["posts"], index, tokenizer, seed=seed).clean.text  # noqa: E731
    assert make(0, 0) == make(0, 0)
    assert make(0, 0) != make(1, 0)
    assert make(0, 0) != make(0, 4)


def test_unknown_families_are_named() -> None:
    with pytest.raises(PkvError, match="unknown scenario family 'order'; did you mean 'orders'"):
        families(["order"])


def test_site_labels_find_the_same_sites_in_other_prompts(tiny: LoadedModel) -> None:
    for index in range(len(RULES)):
        for name in ("orders", "garden"):
            case = polarity_case(BY_NAME[name], index, tiny.tokenizer, seed=0, style=Style(n_fillers=index))
            labels = site_labels(case.clean)
            assert len(labels) == len(case.clean)
            last = positions_of(case.clean, {"action.last"}, 0)
            assert {case.clean.kinds[i] for i in last} == {"action"}
            assert "".join(case.clean.tokens[i] for i in last).strip() in case.actions
            assert positions_of(case.clean, {"action.first"}, 0)[0] < last[0]
            assert positions_of(case.clean, {"question-0"}, 0) == (case.clean.spans["question"][1] - 1,)
            assert case.clean.decision not in positions_of(case.clean, set(labels), 0)
