"""What a memory cannot do is refused in one line that gives the reason."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.memory import Conversation, Memory, field
from tests.editing.support import gpt2
from tests.families import tiny
from tests.memory.support import (
    BEFORE,
    LONG,
    NEW,
    OLD,
    OPTIONS,
    QUESTION,
    SETTING,
    SETTINGS,
    compiled,
    in_blocks,
    tokens_run,
    written,
)


def said(error: pytest.ExceptionInfo[PkvError]) -> str:
    """The line that a user reads: one, that ends in what to do."""
    line = str(error.value)
    assert "\n" not in line
    assert "; " in line
    return line


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ("dark mode: on", "a memory of 'dark mode: on', of type str"),
        (7, "a memory of 7, of type int"),
        ([], "without a block"),
        ({}, "block 1 of the memory has no setting"),
        ([{"a": "1"}, {}], "block 2 of the memory has no setting"),
        ([["only text\n"]], r"block 1 of the memory has no setting; mark what may change"),
        ([3], "block 1 of the memory is 3"),
        ([["a: ", 3]], "block 1 of the memory is"),
        ([{"a": "1"}, {"b": "2", "a": "3"}], "the setting 'a' stands twice; give each setting a name"),
        ([["a: ", field("a", "1"), "\na: ", field("a", "2")]], "the setting 'a' stands twice"),
        ({"a": " "}, "the field 'a' was given an empty value"),
        ({"a": 3}, "the field 'a' was given 3, a int"),
        ({"": "1"}, "the setting of value '1' has no name"),
        ([[field("a", "1", isolated=True)]], "block 1 of the memory has an isolated field"),
        ([""], "the field 'block 1' was given an empty value"),
    ],
)
def test_what_is_no_memory(given: Any, cause: str) -> None:
    with pytest.raises(PkvError, match=cause) as error:
        Memory(given)
    said(error)


@pytest.mark.parametrize(
    "line",
    ["- {name}\n", "{value}\n", "{name}: {value} {value}", "{name}: {value} {note}", "{name}: {value} {"],
)
def test_a_line_gives_name_and_value(line: str) -> None:
    with pytest.raises(PkvError, match="does not give name and value"):
        Memory(SETTINGS, line=line)


def test_a_memory_longer_than_the_model_serves_is_refused_before_it_is_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = Memory([{f"setting {i}": "second floor" for i in range(900)}, {"language": "English"}])
    with tokens_run(monkeypatch) as counted:
        with pytest.raises(
            PkvError, match=r"the memory has \d+ tokens and LlamaForCausalLM has 4096 pos"
        ) as e:
            compiled(tiny("llama"), long)
        assert counted == []
    said(e)


def test_learned_positions_are_their_own_bound_and_nothing_moves_on_them() -> None:
    model, tokenizer = gpt2()
    long = Memory({f"setting {i}": "second floor" for i in range(200)})
    with pytest.raises(PkvError, match=r"the memory has \d+ tokens and GPT2LMHeadModel has 512 positions"):
        long.precompile(model, tokenizer)
    memory = written().precompile(model, tokenizer)
    for before in (BEFORE, None):
        with pytest.raises(PkvError, match="positions") as error:
            memory.attach(before)
        said(error)


def test_a_memory_longer_than_every_window_is_refused() -> None:
    every, some = tiny("mistral", window=24), tiny("gemma2", window=24)
    with pytest.raises(PkvError, match=r"\d+ tokens and no layer of MistralForCausalLM sees more than 24"):
        compiled(every, written())
    assert compiled(some, written()).length > 24


def test_a_memory_cannot_be_attached_past_what_the_model_serves() -> None:
    loaded = tiny("llama")
    memory = compiled(loaded, written())
    talk = Conversation.begin(loaded.model, loaded.tokenizer, [300] * 4090)
    with pytest.raises(PkvError, match="serves 4096") as error:
        memory.attach(talk)
    said(error)


def test_a_context_ends_where_a_token_does() -> None:
    loaded = tiny("llama")
    whole = loaded.tokenizer("second", add_special_tokens=False)["input_ids"]
    halves = loaded.tokenizer("sec", add_special_tokens=False)["input_ids"]
    assert whole[: len(halves)] != halves
    with pytest.raises(PkvError, match="share a token; end the context in a line break") as error:
        Memory([["ond floor: ", field("floor", "yes")]]).precompile(
            loaded.model, loaded.tokenizer, context="sec"
        )
    said(error)


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        ({"setting": "order"}, r"the memory has no setting 'order'; did you mean|choose from"),
        ({"setting": "theme"}, r"the memory has no setting 'theme'; choose from language"),
        ({"method": "stale"}, "stale keeps the old value"),
        ({"method": "oracle_patch@4"}, "oracle_patch needs the prefill"),
        ({"method": "in_places"}, "in_places"),
        ({"method": 3}, "3"),
        ({"method": "in_place@4"}, "field_only takes none"),
        ({"method": "recompute"}, "recompute needs"),
        ({"method": "recompute@400"}, "asks for 400 tokens"),
        ({"method": "auto"}, "auto looks at a decision, and none was named"),
        ({"method": "erratum", "question": "Which?"}, "erratum reads no decision"),
        ({"method": "in_place", "value": LONG}, r"needs another number of tokens .* moves nothing"),
        ({"method": "recompute@2", "value": LONG}, r"needs another number of tokens .* moves nothing"),
        ({"method": "erratum", "ranking": [1]}, "erratum does not take 'ranking'"),
        ({"value": ""}, "empty value"),
    ],
)
def test_updates_that_cannot_be(asked: dict[str, Any], cause: str) -> None:
    memory = compiled(tiny("llama"), written())
    with pytest.raises(PkvError, match=cause) as error:
        memory.update(**{"setting": SETTING, "value": NEW, **asked})
    said(error)


def test_a_setting_that_an_erratum_speaks_of_is_not_edited_in_place() -> None:
    memory = compiled(tiny("llama"), written()).update(SETTING, NEW, "erratum")
    with pytest.raises(PkvError, match="an erratum about 'order status' stands after it") as error:
        memory.update(SETTING, OLD, "in_place")
    said(error)


def test_what_cannot_be_forgotten() -> None:
    loaded = tiny("llama")
    memory = compiled(loaded, written())
    with pytest.raises(PkvError, match="has no setting 'theme'"):
        memory.forget("theme")
    pair = compiled(loaded, Memory([["a: ", field("a", "yes"), " b: ", field("b", "no"), "\n"]]))
    with pytest.raises(PkvError, match="the line of 'a' gives 'b' as well"):
        pair.forget("a")
    alone = compiled(loaded, Memory({"a": "yes"}, title="Settings"))
    with pytest.raises(PkvError, match="'a' is all that the memory holds"):
        alone.forget("a")


def test_conversations_know_what_is_attached() -> None:
    loaded = tiny("llama")
    memory, other = compiled(loaded, written()), compiled(loaded, in_blocks())
    talk = memory.attach(BEFORE)
    with pytest.raises(PkvError, match="this memory is attached already; use update"):
        memory.update(SETTING, NEW).attach(talk)
    for act in (talk.update, talk.detach):
        with pytest.raises(PkvError, match="this memory is not attached here"):
            act(other)
    with pytest.raises(PkvError, match="later='never' is unknown"):
        talk.update(memory, later="never")  # pyright: ignore[reportArgumentType]
    with pytest.raises(PkvError, match="the conversation is empty"):
        Conversation.begin(loaded.model, loaded.tokenizer).logits(QUESTION)
    with pytest.raises(PkvError, match="seam"):
        memory.attach(BEFORE, seam=-1)
    with pytest.raises(PkvError, match="one option|1 options|options"):
        talk.decide(OPTIONS[:1], QUESTION)


def test_another_models_conversation_is_refused() -> None:
    memory = compiled(tiny("llama"), written())
    other = tiny("llama", seed=1)
    with pytest.raises(PkvError, match="made by another model"):
        memory.attach(Conversation.begin(other.model, other.tokenizer, BEFORE))


def test_weights_that_changed_are_seen() -> None:
    from pkv_interp.models.tiny import tiny_model

    model, tokenizer = tiny_model("llama", 3)
    memory = written().precompile(model, tokenizer)
    talk = Conversation.begin(model, tokenizer, BEFORE)
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    for act in (lambda: memory.update(SETTING, NEW), lambda: memory.forget(SETTING)):
        with pytest.raises(PkvError, match="weights are not those that made the memory; precompile it again"):
            act()
    with pytest.raises(PkvError, match="made by another model"):
        memory.attach(talk)
