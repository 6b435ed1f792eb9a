"""Bad input: one clear line that says how to correct it."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import ByT5Tokenizer, MambaConfig, MambaForCausalLM

from pkv_interp.editing import METHODS, EditableContext, State, assistant, field, system, user
from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Message, Segment
from tests.editing.support import FIELD, LONG, NEW, OPTIONS, context_of, gpt2, messages
from tests.families import tiny


@pytest.fixture(scope="module")
def base() -> State:
    return context_of(tiny("llama")).prefill()


@pytest.mark.parametrize(
    ("name", "value", "method", "options", "line"),
    [
        ("status", NEW, "erratum", {}, "no field 'status'; the fields are language, order status"),
        (FIELD, " ", "erratum", {}, "empty value"),
        (FIELD, NEW, "field_onyl", {}, "no editing method 'field_onyl'; did you mean 'field_only'"),
        (FIELD, NEW, "zzz", {}, "use one of .*full_reprefill"),
        (FIELD, NEW, "recompute", {}, "needs a count after '@'; write recompute@8"),
        (FIELD, NEW, "cacheblend", {}, "needs a share after '@'; write cacheblend@0.15"),
        (FIELD, NEW, "erratum@3", {}, "takes none; write erratum"),
        (FIELD, NEW, "recompute@-1", {}, "'-1' in 'recompute@-1' is not a count"),
        (FIELD, NEW, "recompute@2.5", {}, "is not a count"),
        (FIELD, NEW, "recompute@9999", {}, r"asks for 9999 tokens after 'order status' and there are \d+"),
        (FIELD, NEW, "suffix_recompute@999", {}, "asks for 999 tokens after 'order status'"),
        (FIELD, NEW, "cacheblend@1.2", {}, "is not a share from 0 to 1"),
        (FIELD, NEW, "cacheblend@0.2", {"layer": 0}, "layer 0 cannot tell"),
        (FIELD, NEW, "cacheblend@0.2", {"layer": 9}, "use 1 to 2"),
        (FIELD, NEW, "recompute@1", {"ranking": [0]}, "holds position 0; rank positions"),
        (FIELD, NEW, "recompute@1", {"ranking": [60, 60]}, "a position twice"),
        (FIELD, NEW, "recompute@2", {"ranking": [60]}, "asks for 2 tokens"),
        (FIELD, NEW, "field_only", {"wording": "bare"}, "field_only does not take 'wording'; it takes no op"),
        (FIELD, NEW, "erratum", {"wording": "loud"}, "use bare, tagged, override, disregard or a text"),
        (FIELD, NEW, "erratum", {"wording": "{value} {when}"}, "a blank other than"),
        (FIELD, NEW, "erratum", {"wording": "{value} {field.x}"}, "a blank other than"),
        (FIELD, NEW, "erratum", {"wording": "{{value}}"}, "neither known nor has {value} in it"),
        (FIELD, 5, "erratum", {}, "was given 5, a int; give text"),
        (FIELD, NEW, "cacheblend@0.2", {"layer": "x"}, "layer 'x' is no number"),
        (FIELD, NEW, "recompute@1", {"ranking": ["a"]}, "is no list of positions"),
        (FIELD, NEW, "auto", {"options": ["cancel"]}, "between 1 options"),
        (FIELD, NEW, "auto", {"options": "cancel"}, "are one text; give a list of words"),
    ],
)
def test_edits_that_make_no_sense(
    base: State, name: str, value: str, method: str, options: dict[str, Any], line: str
) -> None:
    with pytest.raises(PkvError, match=line) as caught:
        base.edit(name, value, method, **options)
    assert "\n" not in str(caught.value)


IN_PLACE = ("field_only", "field_erratum", "recompute@2", "oracle_patch@2", "cacheblend@0.2", "epic")


@pytest.mark.parametrize("method", IN_PLACE)
def test_values_of_another_length_are_refused_where_columns_stay_in_place(base: State, method: str) -> None:
    with pytest.raises(PkvError, match="use erratum, full_reprefill, hoist, suffix_recompute, or a v"):
        base.edit(FIELD, LONG, method)


def test_the_methods_that_serve_any_length_do(base: State) -> None:
    served = {m.name for m in METHODS.values() if m.any_length}
    assert served == {"auto", "erratum", "full_reprefill", "hoist", "stale", "suffix_recompute"}
    for method in served - {"stale"}:
        assert base.edit(FIELD, LONG, method).fields[FIELD] == LONG


@pytest.mark.parametrize("method", [*(m for m in IN_PLACE if m != "field_erratum"), "suffix_recompute@2"])
def test_an_older_erratum_is_not_left_to_contradict_the_field(base: State, method: str) -> None:
    noted = base.edit(FIELD, LONG, "erratum")
    with pytest.raises(PkvError, match="an erratum about 'order status' stands after it"):
        noted.edit(FIELD, NEW, method)
    noted.edit("language", "Dutch", method)


def test_a_hoisted_field_has_no_place_of_its_own(base: State) -> None:
    with pytest.raises(PkvError, match="moved to the end"):
        base.edit(FIELD, NEW, "hoist").edit(FIELD, "pending", "field_only")


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("cancel",), "between 1 options"),
        (("cancel", "cancellation fee"), "'cancellation fee' is not one token after 'model"),
        (("cancel", "cancel"), "'cancel' and 'cancel' share their token"),
    ],
)
def test_decisions_that_cannot_be_read(base: State, options: tuple[str, ...], line: str) -> None:
    with pytest.raises(PkvError, match=line.replace("after 'model", "after '")):
        base.decide(options)


def test_there_must_be_something_to_decide_after() -> None:
    loaded = tiny("llama")
    state = context_of(loaded).prefill()
    assert state.decide(OPTIONS, question="", cue="").choice in OPTIONS  # the template's turn is enough


def test_an_empty_text_is_not_appended(base: State) -> None:
    with pytest.raises(PkvError, match="empty text"):
        base.append("")


@pytest.mark.parametrize(
    ("made", "line"),
    [
        ((), "no messages"),
        ((user("hello"),), "have no field"),
        ((user("a ", field("f", "v"), " b ", field("f", "w")),), "'f' stands twice"),
        ((user("a ", field("f", "")),), "'f' was given an empty value"),
        ((Message("user", (Segment("field", "v"),)),), "'v' has no name"),
        ((system("s"), user("  a ", field("f", "v")), assistant(" x "), user("y")), "changes the text"),
    ],
)
def test_contexts_that_make_no_sense(made: tuple[Message, ...], line: str) -> None:
    loaded = tiny("gemma3")
    with pytest.raises(PkvError, match=line):
        EditableContext(loaded.model, loaded.tokenizer, made)


def test_a_template_that_refuses_a_role_is_named() -> None:
    from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

    with pytest.raises(PkvError, match="the chat template refuses these messages"):
        EditableContext(tiny("gemma2").model, tiny_tokenizer("gemma2"), messages())


def test_a_model_without_keys_and_values_edits_nothing_in_place() -> None:
    vocabulary = len(tiny("llama").tokenizer)
    model = MambaForCausalLM(MambaConfig(vocab_size=vocabulary, hidden_size=16, num_hidden_layers=2)).eval()
    base = EditableContext(model, tiny("llama").tokenizer, messages()).prefill()
    with pytest.raises(PkvError, match="state"):
        base.edit(FIELD, NEW, "field_only")


def test_slow_tokenizers_and_models_in_training_are_refused() -> None:
    model, tokenizer = gpt2()
    with pytest.raises(PkvError, match="ByT5Tokenizer gives no offsets"):
        EditableContext(model, ByT5Tokenizer(), messages())
    with pytest.raises(PkvError, match="training mode; call model.eval"):
        EditableContext(model.train(), tokenizer, messages())


def test_learned_positions_serve_what_moves_no_column() -> None:
    model, tokenizer = gpt2()
    base = EditableContext(model, tokenizer, messages()).prefill()
    with pytest.raises(PkvError, match="learned positions.*; use suffix_recompute without"):
        base.edit(FIELD, LONG, "suffix_recompute@4")
    assert base.edit(FIELD, NEW, "suffix_recompute@4").fields[FIELD] == NEW
    for method in ("field_erratum", "recompute@4", "cacheblend@0.1", "epic", "hoist", "auto"):
        assert base.edit(FIELD, NEW, method).fields[FIELD] == NEW


def test_more_text_than_learned_positions_and_an_empty_stop_are_refused(base: State) -> None:
    with pytest.raises(PkvError, match="GPT2LMHeadModel has .* positions; keep the text shorter"):
        EditableContext(*gpt2(), messages(), "Go?").prefill().append("and so on " * 2000)
    with pytest.raises(PkvError, match="an empty stop text"):
        base.generate(2, stop=("",))
    assert base.generate(3, stop="zzz") == base.generate(3)
