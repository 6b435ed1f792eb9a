"""The tools enforce the state: what they say depends on the world, never on a prompt."""

from __future__ import annotations

import pytest

from pkv_interp.agent.world import World, guards
from pkv_interp.errors import PkvError
from pkv_interp.tasks import FAMILIES, Family


def world(family: Family, value: str, trigger: str) -> World:
    return World(family.field, value, guards(family, trigger, family.actions))


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_value_permits_one_tool_and_refuses_the_other(family: Family) -> None:
    trigger, act, other = family.values[0], *family.actions
    for value in family.values:
        permitted, refused = (act, other) if value == trigger else (other, act)
        here = world(family, value, trigger)
        here.open("A1")
        assert not here.call(refused, "A1").accepted
        assert here.status == {"A1": "waiting"}
        assert here.call(permitted, "A1").accepted
        assert here.status == {"A1": permitted}


def test_a_stale_action_is_refused_and_the_record_goes_on_waiting() -> None:
    family = FAMILIES[0]
    here = world(family, "pending", "pending")
    here.open("A1")
    here.open("A2")
    assert here.call("cancel", "A1").accepted
    here.change("shipped")
    assert not here.call("cancel", "A2").accepted
    assert here.call("deny", "A2").accepted


def test_a_closed_record_is_closed() -> None:
    here = world(FAMILIES[0], "pending", "pending")
    here.open("A1")
    assert here.call("cancel", "A1").accepted
    assert not here.call("cancel", "A1").accepted


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_what_a_tool_says_tells_neither_value_nor_action(family: Family) -> None:
    for value in family.values[:2]:
        here = world(family, value, family.values[0])
        for record, action in zip(("A1", "B2"), family.actions, strict=True):
            here.open(record)
            accepted = value == family.values[0] if action == family.actions[0] else value != family.values[0]
            assert here.call(action, record).text == f"{record}: {'done' if accepted else 'refused'}."


def test_what_is_not_there_is_named() -> None:
    here = world(FAMILIES[0], "pending", "pending")
    here.open("A1")
    with pytest.raises(PkvError, match="came in twice"):
        here.open("A1")
    with pytest.raises(PkvError, match="no tool 'share'; choose from cancel, deny"):
        here.call("share", "A1")
    with pytest.raises(PkvError, match="record B2 has not come in"):
        here.call("deny", "B2")
    with pytest.raises(PkvError, match="cannot be 'lost'"):
        here.change("lost")
