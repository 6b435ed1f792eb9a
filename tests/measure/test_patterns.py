"""Prompts under the attention pattern that a model's catalogue entry names."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pkv_interp.editing import State
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.patterns import pattern_layout, rule_span
from pkv_interp.models.load import LoadedModel
from pkv_interp.names import Pattern
from pkv_interp.tasks import default_scenarios
from tests.families import tiny


def patterned(pattern: Pattern | None) -> LoadedModel:
    loaded = tiny("llama")
    return replace(loaded, config=loaded.config.model_copy(update={"pattern": pattern}))


def scene(late: bool = False) -> EditScene:
    world = default_scenarios()
    families = tuple(world.choose(["documents"]))
    source = SceneSource(families, world, None, tiny("llama").tokenizer, 0, 1, True, None)
    return source.scenes(source.style(1, late=late), 1)[0]


def apart(one: State, other: State) -> float:
    return float((one.logits() - other.logits()).abs().max())


@pytest.mark.parametrize(
    ("pattern", "late"), [("isolated", False), ("rule_linked", False), ("isolated", True)]
)
def test_an_edit_is_exact_and_costs_its_own_tokens_and_links(pattern: Pattern, late: bool) -> None:
    mine = scene(late)
    base = open_context(patterned(pattern), mine).prefill()
    edited = base.edit(mine.task.field, mine.task.new, "field_only")
    assert edited.exact
    assert apart(edited, base.edit(mine.task.field, mine.task.new, "full_reprefill")) < 1e-4
    rule = rule_span(base.layout.head.prompt)
    assert rule is not None
    own = base.spans[mine.task.field]
    links = rule[1] - rule[0] if pattern == "rule_linked" else 0
    assert edited.cost.tokens == own[1] - own[0] + links


def test_without_a_pattern_nothing_is_isolated() -> None:
    mine = scene()
    base = open_context(patterned(None), mine).prefill()
    assert base.cache.layout is None
    assert not base.edit(mine.task.field, mine.task.new, "field_only").exact


@pytest.mark.parametrize("method", ["hoist", "full_reprefill", "suffix_recompute", "erratum"])
def test_a_value_of_another_length_is_served_under_a_pattern(method: str) -> None:
    mine = scene()
    base = open_context(patterned("rule_linked"), mine).prefill()
    edited = base.edit(mine.task.field, "verified by the manager on Tuesday", method)
    layout = edited.cache.layout
    assert layout is not None
    assert layout.end == len(edited.layout.head.prompt.ids)
    assert layout.links == (rule_span(edited.layout.head.prompt),)


def test_a_rule_before_every_field_is_no_link_and_spans_in_the_last_block_are_not_isolated() -> None:
    mine = scene(late=True)
    prompt = open_context(patterned(None), mine).prefill().layout.head.prompt
    name = mine.task.field
    layout = pattern_layout(prompt, (name,), "rule_linked", len(prompt))
    assert layout is not None
    assert (layout.isolated, layout.links) == ((prompt.spans[name],), ())
    assert pattern_layout(prompt, (name,), "isolated", prompt.spans[name][0]) is None
    assert pattern_layout(prompt, ("nothing",), "isolated", len(prompt)) is None
