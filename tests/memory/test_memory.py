"""Memories as they are written, versions that stay as they are, and what one edit costs."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.editing import METHODS
from pkv_interp.errors import PkvError
from pkv_interp.memory import CompiledMemory, Memory, field
from pkv_interp.memory.compiled import ALIASES, REFUSED
from tests.editing.support import copy_of
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
    TITLE,
    compiled,
    in_blocks,
    tokens_run,
    written,
)

METHODS_HERE = [
    f"{name}@{'0.25' if method.amount == 'share' else '4'}" if method.required else name
    for name, method in sorted(METHODS.items())
    if name not in (*REFUSED, "auto")
]


def one() -> CompiledMemory:
    return compiled(tiny("llama"), written(), BEFORE)


def test_a_mapping_is_one_block_of_lines() -> None:
    memory = written()
    assert memory.text == (
        f"{TITLE}\n- language: English\n- order status: pending\n- archive: second floor\n"
    )
    assert dict(memory.settings) == SETTINGS
    assert len(memory.blocks) == 1


def test_blocks_are_mappings_texts_and_lists_with_fields() -> None:
    memory = in_blocks()
    assert list(memory.settings) == ["language", "archive", SETTING, "block 3"]
    assert len(memory.blocks) == 3
    assert Memory(memory.blocks) == memory
    assert Memory({"a": "1"}, line="{name}={value};").text == "a=1;"


def test_a_memory_is_split_at_ends_of_lines_into_blocks_of_about_one_length() -> None:
    memory = Memory({f"setting {i}": f"value {i}" for i in range(11)}, title=TITLE)
    for n in (1, 2, 4, 11):
        made = memory.split(n)
        assert len(made.blocks) == n
        assert made.text == memory.text
        lengths = [sum(len(segment.text) for segment in block) for block in made.blocks]
        assert max(lengths) - min(lengths) <= 2 * len("- setting 10: value 10\n") + len(TITLE)
        assert all(any(s.kind == "field" for s in block) for block in made.blocks)
    with pytest.raises(PkvError, match=r"12 blocks of a memory of 11 lines .* ask for 1 to 11"):
        memory.split(12)


@pytest.mark.parametrize("method", [*METHODS_HERE, *ALIASES])
def test_a_version_is_never_changed(method: str) -> None:
    old = one()
    talk = old.attach(BEFORE)
    assert talk.cache is not None
    kept, spliced, settings = copy_of(old.blocks[0].state.cache), copy_of(talk.cache), dict(old.settings)
    new = old.update(SETTING, NEW, method)
    assert new.settings[SETTING] == NEW
    assert torch.equal(copy_of(old.blocks[0].state.cache), kept)
    assert torch.equal(copy_of(talk.cache), spliced)
    assert dict(old.settings) == settings
    assert len(new.ids) == new.length == new.chunks[0].cache.length
    assert talk.update(new).memories == (new,)


def test_auto_asks_what_it_is_told_to_ask() -> None:
    new = one().update(SETTING, NEW, "auto", question=QUESTION, options=OPTIONS)
    told = new.blocks[0].state.diagnostic
    assert told is not None
    assert told.used in ("field_only", "field_erratum")
    assert new.settings[SETTING] == NEW
    other = one().update(SETTING, LONG, "auto", cue="Action:")
    assert other.settings[SETTING] == LONG
    assert other.blocks[0].state.context is not new.blocks[0].state.context
    assert other.blocks[0].state.context.cue == ""


@pytest.mark.parametrize(("method", "tokens"), [("in_place", 1), ("recompute@2", 3), ("recompile", None)])
def test_ten_conversations_cost_one_edit(
    method: str, tokens: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = one()
    talks = [old.attach(f"Session {i}.\n") for i in range(10)]
    with tokens_run(monkeypatch) as counted:
        new = old.update(SETTING, NEW, method)
        edit = sum(counted)
        again = [talk.update(new) for talk in talks]
    assert sum(counted) == edit == new.cost.tokens
    assert edit == (tokens or len(new.blocks[0].state.ids))
    assert all(talk.memories == (new,) for talk in again)
    assert all(talk.memories == (old,) for talk in talks)
    logits = [talk.logits(QUESTION) for talk in (talks[0], again[0])]
    assert not torch.equal(logits[0], logits[1])


def test_only_the_settings_own_block_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    old = compiled(tiny("llama"), in_blocks())
    assert old.cost.tokens == sum(len(block.state.ids) for block in old.blocks)
    with tokens_run(monkeypatch) as counted:
        old.update(SETTING, NEW)
    assert sum(counted) == len(old.blocks[1].state.ids)


def test_what_it_cost_is_added_up() -> None:
    old = one()
    new = old.update(SETTING, NEW, "in_place").update(SETTING, OLD, "in_place")
    assert new.total.tokens == old.cost.tokens + 2
    talk = new.attach(BEFORE).append("Good morning.\n")
    assert talk.total.tokens == talk.length - new.length


def test_a_text_is_a_setting_of_its_own_and_lines_can_be_forgotten() -> None:
    old = compiled(tiny("llama"), in_blocks())
    text = "The customer asks us to deny order A2000.\n"
    new = old.update("block 3", text)
    assert new.blocks[2].state.text == text
    left = new.forget("block 3").forget("archive")
    assert list(left.settings) == ["language", SETTING]
    assert len(left.blocks) == 2
    assert left.blocks[0].state.text.endswith("- language: English\n")


@pytest.mark.parametrize("first", [True, False])
def test_text_beside_a_forgotten_setting_goes_to_the_next_block(first: bool) -> None:
    note = "Orders are checked every morning.\n"
    told = [note, f"- {SETTING}: ", field(SETTING, OLD), "\n"]
    other = {"language": "English"}
    left = compiled(tiny("llama"), Memory([told, other] if first else [other, told])).forget(SETTING)
    assert dict(left.settings) == other
    line = "- language: English\n"
    assert [block.state.text for block in left.blocks] == [note + line if first else line + note]
    assert left.exact
    assert left.cost.tokens == left.chunks[0].start + left.length


def test_a_setting_that_is_all_of_a_memory_is_not_forgotten() -> None:
    told = ["Orders are checked every morning.\n", f"- {SETTING}: ", field(SETTING, OLD), "\n"]
    with pytest.raises(PkvError, match="all that the memory holds"):
        compiled(tiny("llama"), Memory([told])).forget(SETTING)


def test_a_conversation_reads_and_writes() -> None:
    talk = one().attach(BEFORE)
    decision = talk.decide(OPTIONS, QUESTION)
    logits = talk.logits(QUESTION)
    assert torch.equal(decision.logits, logits)
    assert talk.generate(QUESTION, 3).ids[:1] == (int(logits.argmax()),)


def test_a_field_of_a_users_own_form_keeps_its_place() -> None:
    memory = Memory([["- [ui] dark mode: ", field("dark mode", "enabled"), " (at night)\n"]])
    assert memory.text == "- [ui] dark mode: enabled (at night)\n"
    assert dict(memory.settings) == {"dark mode": "enabled"}
