"""A memory spliced into a conversation: the names of its arms, and the arm that must not work."""

from __future__ import annotations

from dataclasses import replace

from pkv_interp.composing import join
from pkv_interp.memory.compiled import CompiledMemory
from pkv_interp.memory.conversation import Conversation

#: Keys that were not turned: a splice that must not work.
NO_ROTATION = "no_rotation"
#: Least difference of the first keys, as a share of the largest, that leaving out the rotation has to make.
SHOWS = 0.01


def seam_arm(k: int) -> str:
    """Name of the arm whose blocks are spliced with a seam of ``k`` tokens."""
    return f"seam{k}" if k else "spliced"


def unturned(opening: Conversation, memory: CompiledMemory) -> Conversation:
    """The splice without its rotation: keys say that they stand where they were made.

    Args:
        opening: what stands before the memory, one token at least.
        memory: that is spliced.
    """
    spliced = opening.attach(memory)
    assert opening.cache is not None
    return replace(spliced, cache=join([opening.cache, *(chunk.cache for chunk in memory.chunks)]))
