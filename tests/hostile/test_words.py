"""Words of the editing calls that are no text, or say nothing, end in one line; a value stands as given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pkv_interp.composing import token_ids
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError
from pkv_interp.prompts.errata import erratum_line
from tests.families import tiny

MESSAGE = user("order status: ", field("s", "pending"), "\n\nIf the order is pending, wait.")
HALF = "a \ud800"


def context(messages: Any, **options: Any) -> EditableContext:
    loaded = tiny("qwen3")
    return EditableContext(loaded.model, loaded.tokenizer, messages, **options)


@pytest.fixture(scope="module")
def base() -> State:
    return context([MESSAGE]).prefill()


@pytest.mark.parametrize(
    ("made", "cause"),
    [
        (lambda: context("hello"), "the messages are 'hello', of type str"),
        (lambda: context({"role": "user"}), "of type dict"),
        (lambda: context(3), "the messages are 3, of type int"),
        (lambda: context([{"role": "user", "content": "x"}]), "a message is .*, of type dict"),
        (lambda: context(["x"]), "a message is 'x', of type str"),
        (lambda: user("x", 3), "the user message has 3, of type int"),  # type: ignore[arg-type]
        (lambda: context([user(HALF, field("a", "b"))]), "a text of the user message .* a lone surrogate"),
        (lambda: context([user("x ", field("a", HALF))]), "the value of 'a' .* a lone surrogate"),
        (lambda: context([MESSAGE], question=None), "the question is None"),
        (lambda: context([MESSAGE], cue=3), "the cue is 3"),
        (lambda: token_ids(tiny("qwen3").tokenizer, HALF), "a lone surrogate"),
    ],
)
def test_what_is_no_context_is_refused_in_one_line(made: Callable[[], Any], cause: str) -> None:
    with pytest.raises(PkvError, match=cause) as caught:
        made()
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        (lambda s: s.edit("s", "shipped", None), "the editing method is None"),
        (lambda s: s.append(3), "the text to append is 3"),
        (lambda s: s.append(HALF), "a lone surrogate"),
        (lambda s: s.decide(["wait", "refund"], question=3), "the question is 3"),
        (lambda s: s.decide(["wait", "refund"], cue=3), "the cue is 3"),
        (lambda s: s.decide({"wait", "refund"}), "of type set"),
        (lambda s: s.decide({"wait": 1, "refund": 2}), "of type dict"),
        (lambda s: s.decide(3), "of type int"),
        (lambda s: s.decide([1, 2]), "an option is 1, of type int"),
        (lambda s: s.decide(["", "wait"]), "the option '' has no word"),
        (lambda s: s.decide([" ", "wait"]), "the option ' ' has no word"),
    ],
)
def test_what_is_no_word_is_refused_in_one_line(
    base: State, asked: Callable[[Any], object], cause: str
) -> None:
    with pytest.raises(PkvError, match=cause) as caught:
        asked(base)
    assert "\n" not in str(caught.value)


def test_one_message_and_options_in_a_generator_are_taken(base: State) -> None:
    assert context(MESSAGE).prefill().ids == base.ids
    words = ("wait", "refund")
    assert base.decide(word for word in words).probabilities == base.decide(words).probabilities  # type: ignore


def test_the_refusal_of_a_length_does_not_contradict_itself(base: State) -> None:
    """It said "1 where 's' has 1" where a blank before the value was split otherwise."""
    with pytest.raises(
        PkvError, match=r"another number of tokens \(\d+ where the whole text has \d+\)"
    ) as one:
        base.edit("s", " shipped", "field_only")
    made, had = (
        int(word) for word in str(one.value).split("(")[1].replace(")", " ").split() if word.isdigit()
    )
    assert had == len(base.ids) != made


@pytest.mark.parametrize(
    ("wording", "line"),
    [
        ("{value} now", "iPhone now\n"),
        ("{value} is the {field}", "iPhone is the device\n"),
        ("{field} is {value}", "Device is iPhone\n"),
        ("now {value}", "Now iPhone\n"),
        ("{{{value}}}", "{iPhone}\n"),
    ],
)
def test_a_value_stands_as_it_was_given(wording: str, line: str) -> None:
    assert erratum_line("device", "iPhone", wording) == line


@pytest.mark.parametrize(
    "wording",
    ["{value[0]}", "{value!r}", "{value:>20}", "{value:{field}}", "{value.x}", "{0}", "{}", "{", "}"],
)
def test_other_blanks_of_a_wording_are_refused_in_one_line(wording: str) -> None:
    with pytest.raises(PkvError, match=r"has a (blank other than|brace that stands alone)") as caught:
        erratum_line("device", "iPhone", wording)
    assert "\n" not in str(caught.value)
