"""Directions of edits against rule wordings: neither may tell the other."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from pkv_interp.measure.edit_scenes import SceneSource, alternating
from pkv_interp.tasks import default_scenarios
from tests.families import tiny


def scenes(families: int, wordings: int) -> list[Any]:
    return [
        SimpleNamespace(
            family=f"family {at}", task=SimpleNamespace(wording=f"wording {at % wordings}", matches=matches)
        )
        for at in range(families)
        for matches in (True, False)
    ]


@pytest.mark.parametrize("wordings", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("first", [0, 1])
def test_each_wording_has_as_many_edits_of_either_direction(wordings: int, first: int) -> None:
    chosen = alternating(scenes(4 * wordings, wordings), first)
    assert len(chosen) == 4 * wordings
    told = Counter((one.task.wording, one.task.matches) for one in chosen)
    assert set(told.values()) == {2}
    assert chosen[0].task.matches is (first == 0)


def test_two_families_have_both_directions() -> None:
    assert [one.task.matches for one in alternating(scenes(2, 2))] == [True, False]
    assert [one.task.matches for one in alternating(scenes(2, 2), 1)] == [False, True]


def test_the_new_action_is_named_last_in_half_of_the_packaged_edits() -> None:
    """Of all packaged families, as ``editing`` takes them to compare wordings of errata."""
    world = default_scenarios()
    source = SceneSource(tuple(world.families), world, None, tiny("llama").tokenizer, 0, 1, True, None)
    style = source.style(1)
    chosen = alternating(source.scenes(style, 1))
    named_last = [
        [part.text for message in one.task.messages for part in message.segments if part.kind == "action"][-1]
        for one in chosen
    ]
    last_is_new = [last == one.task.new_action for last, one in zip(named_last, chosen, strict=True)]
    assert sum(last_is_new) == len(chosen) / 2
