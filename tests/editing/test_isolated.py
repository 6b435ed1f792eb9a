"""Isolated fields: one edit of one token is a prefill of the new text, in any order and for any number."""

from __future__ import annotations

import random

import pytest
import torch

from pkv_interp.cache import AttentionLayout
from pkv_interp.editing import EditableContext, State, field, system, user
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel
from tests.editing.support import FIELD, LONG, NEW, OLD, QUESTION, difference, logit_difference, windowed
from tests.families import FAMILIES, tiny

VALUES = {"language": ("English", "Spanish"), FIELD: (OLD, NEW, "cancel"), "tier": ("gold", "silver", "low")}


def isolated(
    loaded: LoadedModel, *, plain_status: bool = False, given: AttentionLayout | None = None
) -> EditableContext:
    status = field(FIELD, OLD, isolated=not plain_status and given is None)
    asked = given is None
    messages = (
        system("You handle orders for a web shop."),
        user(
            "Session\nlanguage: ",
            field("language", "English", isolated=asked),
            f"\n{FIELD}: ",
            status,
            "\n\nPolicy\nReports are stored for seven years in the archive on the second floor.\n"
            "If the order status is shipped, the right action is cancel; otherwise it is deny.\n\ntier: ",
            field("tier", "gold", isolated=asked),
            "\nThe customer asks us to cancel order A1000.\n",
        ),
    )
    return EditableContext(loaded.model, loaded.tokenizer, messages, QUESTION, layout=given)


def same_length(context: EditableContext) -> dict[str, list[str]]:
    """The values of each field that have the token length of the one that stands there."""
    base, kept = context.prefill(), {}
    for name, values in VALUES.items():
        kept[name] = []
        for value in values:
            try:
                base.edit(name, value, "field_only")
            except PkvError:
                continue
            kept[name].append(value)
    return kept


@pytest.mark.parametrize("family", FAMILIES)
class TestEveryFamily:
    def test_field_only_is_a_full_prefill(self, family: str):
        base = isolated(windowed(family)).prefill()
        edited, full = (base.edit(FIELD, NEW, method) for method in ("field_only", "full_reprefill"))
        assert edited.exact
        assert edited.cost.tokens == base.spans[FIELD][1] - base.spans[FIELD][0]
        assert difference(edited.cache, full.cache) < 1e-4
        assert logit_difference(edited, full) < 1e-4
        if None in base.context.runner.windows:  # a layer reaches back so far
            assert logit_difference(edited, base) > 1e-4

    def test_every_other_method_agrees_with_its_meaning(self, family: str):
        base = isolated(windowed(family)).prefill()
        full = base.edit(FIELD, NEW, "full_reprefill")
        for method in ("recompute@4", "recompute@all", "suffix_recompute", "oracle_patch@3", "epic"):
            assert difference(base.edit(FIELD, NEW, method).cache, full.cache) < 1e-4, method
        kept = base.edit(FIELD, NEW, "suffix_recompute@5")
        assert difference(kept.cache, full.cache) < 1e-4
        blended = base.edit(FIELD, NEW, "cacheblend@0.2")
        assert difference(blended.cache, full.cache) < 1e-4


class TestWhatIsExact:
    def test_auto_asks_nothing_where_the_field_alone_is_exact(self):
        base = isolated(windowed("llama"), plain_status=True).prefill()
        edited = base.edit("tier", "silver")
        assert edited.exact
        assert edited.diagnostic is None
        assert edited.cost.tokens == base.spans["tier"][1] - base.spans["tier"][0]
        assert base.edit(FIELD, NEW).diagnostic is not None

    def test_a_value_of_another_length_moves_what_comes_after_and_is_run_again(self):
        base = isolated(windowed("llama")).prefill()
        full = base.edit(FIELD, LONG, "full_reprefill")
        assert difference(base.edit(FIELD, LONG, "suffix_recompute").cache, full.cache) < 1e-4
        kept = base.edit(FIELD, LONG, "suffix_recompute@5")
        assert kept.cache.layout == full.cache.layout
        assert kept.cache.length == full.cache.length
        assert not kept.exact

    def test_a_plain_field_is_not_called_exact(self):
        base = isolated(windowed("llama"), plain_status=True).prefill()
        edited = base.edit(FIELD, NEW, "field_only")
        assert not edited.exact
        assert difference(edited.cache, base.edit(FIELD, NEW, "full_reprefill").cache) > 1e-3
        assert base.edit("tier", "silver", "field_only").exact

    def test_what_is_appended_sees_the_field(self):
        base = isolated(windowed("llama")).prefill()
        told = base.append("A note.\n")
        assert told.exact
        fresh = base.edit(FIELD, NEW, "field_only").append("A note.\n")
        full = base.edit(FIELD, NEW, "full_reprefill").append("A note.\n")
        assert difference(fresh.cache, full.cache) < 1e-4

    def test_text_that_was_appended_before_the_edit_is_stale_and_the_edit_says_so(self):
        base = isolated(windowed("llama")).prefill()
        edited = base.append("A note.\n").edit(FIELD, NEW, "field_only")
        full = base.append("A note.\n").edit(FIELD, NEW, "full_reprefill")
        assert difference(edited.cache, full.cache) > 1e-3
        assert not edited.exact


class TestLinks:
    def test_links_are_run_with_the_field_and_the_edit_is_exact(self):
        loaded = windowed("llama")
        plain = isolated(loaded)
        spans, length = plain.prefill().spans, plain.n_tokens
        rule = spans["tier"][0] - 4
        layout = AttentionLayout(length, isolated=(spans[FIELD],), links=((rule, rule + 2),))
        base = isolated(loaded, given=layout).prefill()
        edited, full = (base.edit(FIELD, NEW, method) for method in ("field_only", "full_reprefill"))
        assert edited.exact
        assert edited.cost.tokens == spans[FIELD][1] - spans[FIELD][0] + 2
        assert difference(edited.cache, full.cache) < 1e-4
        assert difference(base.edit("tier", "silver", "field_only").cache, full.cache) > 1e-3

    def test_what_has_read_the_field_in_its_own_span_is_run_with_it(self):
        loaded = windowed("llama")
        plain = isolated(loaded)
        start, stop = plain.prefill().spans[FIELD]
        base = isolated(loaded, given=AttentionLayout(plain.n_tokens, ((start - 1, stop + 4),))).prefill()
        edited, full = (base.edit(FIELD, NEW, method) for method in ("field_only", "full_reprefill"))
        assert edited.exact
        assert edited.cost.tokens == stop + 4 - start
        assert difference(edited.cache, full.cache) < 1e-4

    def test_a_layout_that_does_not_fit_is_refused(self):
        with pytest.raises(PkvError, match="the layout's last block begins at 7"):
            isolated(tiny("llama"), given=AttentionLayout(7))

    def test_a_layout_and_marked_fields_are_refused(self):
        loaded = tiny("llama")
        with pytest.raises(PkvError, match="isolated and the context has a layout of its own"):
            EditableContext(
                loaded.model,
                loaded.tokenizer,
                [user(field("a", "b", isolated=True))],
                QUESTION,
                layout=AttentionLayout(30),
            )


def test_a_thousand_edits_do_not_drift():
    """Random sequences of edits of three fields; every state is a prefill of its text."""
    context = isolated(windowed("qwen3"))
    values, rng = same_length(context), random.Random(0)
    assert sum(len(v) > 1 for v in values.values()) >= 2
    fresh: dict[tuple[str, ...], State] = {}

    def full(state: State) -> State:
        key = tuple(state.fields.values())
        if key not in fresh:
            made = context.prefill()
            for name, value in state.fields.items():
                made = made.edit(name, value, "full_reprefill")
            fresh[key] = made
        return fresh[key]

    states = [context.prefill()]
    for _ in range(1000):
        state = rng.choice(states[-20:])
        name = rng.choice([name for name, known in values.items() if len(known) > 1])
        edited = state.edit(name, rng.choice(values[name]), "field_only")
        assert edited.exact
        assert difference(edited.cache, full(edited).cache) < 1e-5
        states.append(edited)
    assert torch.isfinite(states[-1].logits()).all()
