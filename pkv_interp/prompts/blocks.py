"""Blocks of a prompt: the policy, the session and the tools, each made of segments of certain kinds."""

from pkv_interp.errors import PkvError
from pkv_interp.prompts.segments import Prompt

Span = tuple[int, int]
#: Kinds of the segments that a block is made of.
BLOCKS: dict[str, tuple[str, ...]] = {
    "policy": ("rule", "trigger", "action", "filler"),
    "session": ("session", "field"),
    "tools": ("tools",),
}


def block_span(prompt: Prompt, *blocks: str) -> Span:
    """Half-open token span of a block, or of several that are neighbours.

    A request that stands inside, as a comment of a layout of code can, is part of it.

    Raises:
        PkvError: they are not in one piece.
    """
    kinds = {kind for block in blocks for kind in BLOCKS[block]}
    inside = [i for i, kind in enumerate(prompt.kinds) if kind in kinds]
    between = set(prompt.kinds[inside[0] : inside[-1] + 1]) - kinds if inside else set()
    if not inside or between - {"conversation"}:
        raise PkvError(f"the blocks {', '.join(blocks)} are not in one piece", "name neighbouring blocks")
    return inside[0], inside[-1] + 1
