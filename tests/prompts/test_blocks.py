"""Spans of blocks."""

from __future__ import annotations

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.prompts.blocks import block_span
from pkv_interp.prompts.segments import Prompt


def prompt(*kinds: str) -> Prompt:
    return Prompt(tuple(range(len(kinds))), "x" * len(kinds), ("x",) * len(kinds), kinds, {})


def test_a_block_is_all_its_kinds_and_neighbours_are_one_span() -> None:
    made = prompt("system", "session", "field", "session", "rule", "trigger", "rule", "tools", "decision")
    assert block_span(made, "session") == (1, 4)
    assert block_span(made, "policy") == (4, 7)
    assert block_span(made, "session", "policy") == (1, 7)


@pytest.mark.parametrize("blocks", [("session", "tools"), ("policy",)])
def test_blocks_apart_and_absent_ones_are_refused(blocks: tuple[str, ...]) -> None:
    with pytest.raises(PkvError, match="are not in one piece"):
        block_span(prompt("session", "field", "decision", "tools"), *blocks)
