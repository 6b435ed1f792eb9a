"""Memories spliced into a conversation, with and without their rotation."""

import torch

from pkv_interp.cache.compute import Runner
from pkv_interp.measure.splices import first_keys_apart
from pkv_interp.memory import Conversation, Memory
from pkv_interp.memory.splices import seam_arm, unturned
from tests.families import tiny


def test_the_names_of_arms_tell_their_seams() -> None:
    assert [seam_arm(k) for k in (0, 4)] == ["spliced", "seam4"]


def test_keys_that_were_not_turned_are_those_of_where_they_were_made() -> None:
    loaded = tiny("llama")
    memory = Memory(["Some lines.", "Some other lines."]).precompile(loaded.model, loaded.tokenizer)
    opening = Conversation.begin(loaded.model, loaded.tokenizer, tuple(range(5, 21)))
    bare, spliced = unturned(opening, memory), opening.attach(memory)
    assert bare.ids == spliced.ids
    assert bare.cache is not None
    assert spliced.cache is not None
    first = memory.chunks[0]
    start, stop = opening.length, opening.length + first.length
    for layer, keys in enumerate(first.cache.keys):
        assert torch.equal(bare.cache.keys[layer][..., start:stop, :], keys)
        assert torch.equal(bare.cache.values[layer], spliced.cache.values[layer])
    whole = Runner.of(loaded.model).prefill(spliced.ids).cache
    assert first_keys_apart(bare.cache, whole) > 1e-2
    assert first_keys_apart(spliced.cache, whole) < 1e-4
