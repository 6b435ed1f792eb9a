"""Lessons whose answers read the field back before the action."""

from __future__ import annotations

from typing import Any

from pkv_interp.training.courses import Programmable
from pkv_interp.training.layout_course import draw_pair
from pkv_interp.training.schedule import Stage
from tests.families import tiny


def test_a_value_that_is_read_back_is_learnt_before_the_action() -> None:
    tokenizer: Any = tiny("llama").tokenizer
    course = Programmable(isolated=1.0, blind=0.0, read_back=1.0)
    stage = Stage(steps=1, lr=(1e-3, 1e-3), mix={"plain": 0.5, "update": 0.5}, breadth=(0.3, 0.3))
    for pair in range(6):
        one, two = draw_pair(course, stage, (0, 0, pair), 0.0, 8, tokenizer)
        assert one.kind.startswith("read_isolated")
        told = []
        for mine in (one, two):
            *read, action = mine.targets
            assert (action,) == mine.answers
            assert {mine.told_as(at) for at in read} == {f"{mine.kind}_value"}
            written = tokenizer.decode([mine.ids[at + 1] for at in read])
            assert written.endswith("\n")
            assert tokenizer.decode(mine.ids[read[-1] + 2 : action + 1]).strip() == "Action:"
            assert mine.layout is not None
            assert not mine.layout.links
            assert read[0] >= mine.layout.end  # all of it is in the last block
            told.append(written.strip())
        assert told[0] != told[1]


def test_what_cannot_be_decided_at_once_is_always_read_back() -> None:
    tokenizer = tiny("llama").tokenizer
    stage = Stage(steps=1, lessons="rules", lr=(1e-3, 1e-3), mix={"plain": 0.5, "late": 0.5})

    def kinds(**course: Any) -> set[str]:
        made = Programmable(read_back=0.4, **course)
        return {draw_pair(made, stage, (0, 0, n), 0.0, 8, tokenizer)[0].kind for n in range(40)}

    late = {"read_isolated_late", "isolated_late"}
    assert kinds(isolated=1.0, blind=0.0) == {"read_isolated", *late}
    assert kinds(isolated=1.0, blind=0.0, links="rule") == {"read_isolated", "isolated", *late}
    assert "blind" not in kinds(isolated=1.0, blind=1.0, links="rule")
    assert "read_back" not in Programmable().facts
    assert Programmable(read_back=0.5).facts["read_back"] == 0.5
