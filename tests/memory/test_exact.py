"""What attaching and updating must equal, in every tiny family."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache import Runner
from pkv_interp.composing import link_repair, precompile, prefix, splice
from pkv_interp.memory import CompiledMemory, Conversation
from pkv_interp.models.load import LoadedModel
from tests.editing.support import copy_of, difference
from tests.memory.support import BEFORE, NEW, QUESTION, SETTING, compiled, in_blocks, written

EXACT = 1e-4
ELSEWHERE = "Good morning. Is the desk open today? Yes, it is open until six. "


def apart(conversation: Conversation, other: Conversation) -> float:
    """Largest difference of any column, and of the logits after a question."""
    assert conversation.ids == other.ids
    assert conversation.cache is not None
    assert other.cache is not None
    logits = (conversation.logits(QUESTION) - other.logits(QUESTION)).abs().max()
    return max(difference(conversation.cache, other.cache), float(logits))


def columns(memory: CompiledMemory) -> torch.Tensor:
    return torch.cat([copy_of(block.state.cache) for block in memory.blocks], 2)


def test_at_its_own_position_it_is_a_prefill(tiny: LoadedModel) -> None:
    memory = compiled(tiny, written(), BEFORE)
    attached = memory.attach(BEFORE)
    assert attached.cost.tokens == 0
    assert apart(attached, attached.prefilled()) < EXACT


def test_a_memory_alone_begins_a_conversation_at_its_own_position(tiny: LoadedModel) -> None:
    memory = compiled(tiny, written())
    first = memory.chunks[0]
    begun = memory.attach()
    assert begun.ids == (*first.context, *memory.ids)  # with the BOS where the tokenizer has one
    assert begun.cost.tokens == first.start
    assert apart(begun, begun.prefilled()) < EXACT


@pytest.mark.parametrize("seam", [0, 3])
def test_elsewhere_it_is_the_splice_of_composing(tiny: LoadedModel, seam: int) -> None:
    runner, tokenizer = Runner.of(tiny.model), tiny.tokenizer
    memory = compiled(tiny, in_blocks(), BEFORE)
    attached = memory.attach(ELSEWHERE, seam=seam)
    before = prefix(runner, tokenizer, ELSEWHERE)
    chunks = [
        precompile(runner, tokenizer, one.ids, context=one.context, sink="prefix") for one in memory.chunks
    ]
    byhand = splice(runner, before, *chunks)
    spans, at = [], before.length
    for chunk in chunks:
        spans.append((at, at + chunk.length))
        at += chunk.length
    if seam:
        byhand = link_repair(runner, byhand, spans, attached.ids, seam).cache
    assert attached.cache is not None
    assert difference(attached.cache, byhand) < EXACT
    assert attached.cost.tokens == seam * len(chunks)
    # And it is no prefill: the memory has not seen what stands before it.
    assert apart(attached, attached.prefilled()) > 10 * EXACT


def test_a_seam_of_everything_is_a_prefill(tiny: LoadedModel) -> None:
    attached = compiled(tiny, in_blocks()).attach(ELSEWHERE, seam=10_000)
    assert apart(attached, attached.prefilled()) < EXACT


@pytest.mark.parametrize("method", ["recompile", "suffix_recompute", "recompute@all"])
def test_these_updates_are_a_fresh_precompile(tiny: LoadedModel, method: str) -> None:
    updated = compiled(tiny, written(), BEFORE).update(SETTING, NEW, method)
    fresh = compiled(tiny, written(**{SETTING: NEW}), BEFORE)
    assert updated.ids == fresh.ids
    assert updated.settings == fresh.settings
    assert float((columns(updated) - columns(fresh)).abs().max()) < EXACT


def test_in_place_the_setting_is_fresh_and_what_has_read_it_is_not(tiny: LoadedModel) -> None:
    old, fresh = compiled(tiny, written()), compiled(tiny, written(**{SETTING: NEW}))
    updated = old.update(SETTING, NEW, "in_place")
    start, stop = updated.blocks[0].state.spans[SETTING]
    far = (columns(updated) - columns(fresh)).abs().amax((0, 1, 3))
    assert float(far[:stop].max()) < EXACT
    assert float(far[stop:].max()) > 10 * EXACT
    assert torch.equal(columns(updated)[:, :, stop:], columns(old)[:, :, stop:])
    assert updated.cost.tokens == stop - start
    assert not updated.exact


def test_an_erratum_stands_at_the_end_of_its_block(tiny: LoadedModel) -> None:
    old = compiled(tiny, in_blocks())
    updated = old.update(SETTING, NEW, "erratum")
    assert updated.cost.tokens == updated.length - old.length > 0
    assert updated.settings[SETTING] == NEW
    assert [a is b for a, b in zip(old.blocks, updated.blocks, strict=True)] == [True, False, True]
    assert apart(updated.attach(), updated.attach(seam=10_000)) > 0  # blocks do not see each other
    state = updated.blocks[1].state
    assert difference(state.cache, Runner.of(tiny.model).prefill(state.ids).cache) < EXACT


def test_what_is_forgotten_leaves_nothing(tiny: LoadedModel) -> None:
    forgotten = compiled(tiny, written(), BEFORE).update(SETTING, NEW, "erratum").forget(SETTING)
    fresh = compiled(tiny, type(written())({"language": "English", "archive": "second floor"}), BEFORE)
    assert dict(forgotten.settings) == dict(fresh.settings)
    assert SETTING not in forgotten.blocks[0].state.text
    assert NEW not in forgotten.blocks[0].state.text
    assert forgotten.exact
    assert forgotten.total.tokens > forgotten.cost.tokens > 0


def test_the_rest_of_a_conversation_is_run_anew_or_kept(tiny: LoadedModel) -> None:
    old = compiled(tiny, written())
    new, longer = old.update(SETTING, NEW), old.update(SETTING, NEW, "erratum")
    talk = old.attach(ELSEWHERE).append("The customer asks about order A1000.\n")
    renewed = talk.update(new)
    byhand = new.attach(ELSEWHERE).append("The customer asks about order A1000.\n")
    assert apart(renewed, byhand) < EXACT
    assert renewed.cost.tokens == len(talk.pieces[-1].ids)
    kept = talk.update(longer, later="keep")
    assert kept.cost.tokens == 0
    assert kept.ids == talk.update(longer).ids
    assert kept.cache is not None
    assert talk.cache is not None
    last = len(talk.pieces[-1].ids)
    values = [copy_of(one.slice(one.length - last, one.length)) for one in (kept.cache, talk.cache)]
    half = values[0].shape[0] // 2
    assert torch.equal(values[0][half:], values[1][half:])
    assert not torch.equal(values[0][:half], values[1][:half])  # keys are turned to where they stand now
    assert apart(kept, talk.update(longer)) > 10 * EXACT


def test_a_memory_that_is_detached_was_never_there(tiny: LoadedModel) -> None:
    first, second = compiled(tiny, written()), compiled(tiny, in_blocks())
    talk = second.attach(first.attach(ELSEWHERE).append("Good morning.\n")).append("And good night.\n")
    left = talk.detach(first)
    byhand = second.attach(
        Conversation.begin(tiny.model, tiny.tokenizer, ELSEWHERE).append("Good morning.\n")
    )
    assert apart(left, byhand.append("And good night.\n")) < EXACT
    assert left.memories == (second,)
