"""Field classes: aligned flips under every tokenizer, and prompts that differ in the changed line alone."""

from itertools import product

import numpy as np
import pytest

from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from pkv_interp.tasks import BY_NAME, FAMILIES, Family, Style, default_scenarios
from pkv_interp.tasks.field_classes import CLASSES, ClassCase, FieldClass, class_cases
from pkv_interp.tasks.session_fields import FLIPS, SessionField, aligned_flips, candidates
from pkv_interp.tasks.token_kinds import token_kinds
from tests import families

LOW, MEDIUM = default_scenarios().low, default_scenarios().medium
FILLERS = (0, 3)


def made(loaded: LoadedModel, family: str, field_class: FieldClass, index: int = 0) -> list[ClassCase]:
    return class_cases(
        BY_NAME[family],
        index,
        loaded.tokenizer,
        field_class=field_class,
        fillers=FILLERS,
        seed=2,
        style=Style(),
    )


def changed_text(found: ClassCase, side: str) -> str:
    prompt = getattr(found.case, side)
    return "".join(prompt.tokens[slice(*prompt.spans["field"])]).strip()


@pytest.mark.parametrize("field_class", CLASSES)
def test_prompts_differ_in_the_changed_line_alone(field_class: FieldClass, tiny: LoadedModel) -> None:
    for family in FAMILIES:
        found = made(tiny, family.name, field_class)
        assert [(c.n_fillers, c.flip) for c in found] == list(product(FILLERS, FLIPS))
        for one in found:
            clean, corrupt = one.case.clean, one.case.corrupt
            different = [i for i, (a, b) in enumerate(zip(clean.ids, corrupt.ids, strict=True)) if a != b]
            assert different
            assert set(different) <= set(range(*clean.spans["field"]))
            assert clean.spans == corrupt.spans
            assert (changed_text(one, "clean"), changed_text(one, "corrupt")) == (one.new, one.old)


def test_only_semantic_flips_of_class_high_turn_the_conclusion(tiny: LoadedModel) -> None:
    for family in FAMILIES:
        for one in made(tiny, family.name, "high"):
            prompt = one.case.clean
            trigger = "".join(prompt.tokens[slice(*prompt.spans["trigger"])]).strip()
            matches = [value == trigger for value in (one.new, one.old)]
            assert matches == ([True, False] if one.flip == "semantic" else [False, False])
            assert one.field == family.field
    for field_class in ("low", "medium"):
        for one in made(tiny, "orders", field_class):
            prompt = one.case.clean
            trigger = "".join(prompt.tokens[slice(*prompt.spans["trigger"])]).strip()
            assert f"{BY_NAME['orders'].field}: {trigger}\n" in prompt.text


def test_nothing_depends_on_a_low_field_and_one_soft_rule_on_a_medium_one(tiny: LoadedModel) -> None:
    for index in range(4):
        for one in made(tiny, "alerts", "low", index):
            assert one.case.clean.text.count(one.field) == 1
        for one in made(tiny, "alerts", "medium", index):
            soft = slice(*one.case.clean.spans["soft_rule"])
            text = "".join(one.case.clean.tokens[soft])
            assert one.field in text
            assert one.new in text
            assert not {*one.case.actions} & set(text.split())
    fields = {one.field for index in range(4) for one in made(tiny, "alerts", "low", index)}
    assert fields == {field.name for field in LOW}


def test_classes_share_everything_but_the_changed_line_and_lie_equally_far_from_the_rule() -> None:
    loaded = families.tiny("llama")
    by_class = {name: made(loaded, "garden", name)[-1].case for name in CLASSES}
    assert len({case.instance for case in by_class.values()}) == 1
    assert len({case.actions for case in by_class.values()}) == 1
    gaps = {name: case.clean.spans["trigger"][0] - case.after_change for name, case in by_class.items()}
    assert gaps["low"] == gaps["high"]
    short, long = (c.case.clean.text for c in made(loaded, "garden", "low") if c.flip == "minor")
    assert [line for line in short.splitlines() if line not in long.splitlines()] == []


def test_minor_flips_of_patterns_change_one_character_and_semantic_ones_all() -> None:
    rng = np.random.default_rng(0)
    for field in LOW:
        assert field.pattern is not None
        new, olds = candidates(field, rng)
        wild = sum(letter in "#x" for letter in field.pattern)
        for found, moved in ((olds["minor"], 1), (olds["semantic"], wild)):
            for old in found:
                assert sum(a != b for a, b in zip(new, old, strict=True)) == moved
    for field in MEDIUM:
        new, olds = candidates(field, rng)
        (mine,) = [group for group in field.groups if new in group]
        assert set(olds["minor"]) == set(mine) - {new}
        assert not set(olds["semantic"]) & set(mine)


def test_values_that_never_align_are_listed() -> None:
    tokenizer = lambda text, **_: {"offset_mapping": [(i, i + 1) for i in range(len(text))]}  # noqa: E731
    field = SessionField("odd", groups=(("a", "bb"), ("cccc",)))
    with pytest.raises(
        PkvError, match=r"'odd' has no minor and semantic flip .* candidates: .*'cccc' 4"
    ) as error:
        aligned_flips(field, np.random.default_rng(0), tokenizer)
    assert "add values of one length" in str(error.value)


def test_a_family_without_a_third_value_is_refused() -> None:
    two = Family("orders", "r.", "order status", ("pending", "shipped"), ("cancel", "deny"), "Order {id}.")
    with pytest.raises(PkvError, match="no flip that leaves its conclusion alone"):
        class_cases(
            two, 0, families.tiny("llama").tokenizer, field_class="high", fillers=(0,), seed=0, style=Style()
        )


def test_token_kinds_tell_newlines_and_delimiters_from_words(tiny: LoadedModel) -> None:
    prompt = made(tiny, "orders", "high")[-1].case.clean
    kinds = token_kinds(prompt)
    assert len(kinds) == len(prompt)
    assert {"newline", "delimiter", "rule", "filler", "template", "field"} <= set(kinds)
    for token, kind, plain in zip(prompt.tokens, kinds, prompt.kinds, strict=True):
        if kind == "delimiter":
            assert not any(letter.isalnum() for letter in token)
        if kind == "newline":
            assert "\n" in token
        assert (kind == "template") == (plain == "template")
