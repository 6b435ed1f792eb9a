"""Which records gate which action, from made-up databases; no package is needed."""

from __future__ import annotations

from collections import Counter

import pytest

from pkv_interp.agent.tau2.airline import airline_part, airline_records
from pkv_interp.agent.tau2.policy import sections
from pkv_interp.agent.tau2.records import UPDATE, Call, apart
from pkv_interp.agent.tau2.retail import retail_part, retail_records
from pkv_interp.errors import PkvError
from tests.agent.tau2.fake import POLICY, airline_tables, retail_tables


def test_orders_come_under_the_topics_that_their_status_gates() -> None:
    found = retail_records(retail_tables())
    by_topic = Counter((one.topic.name, one.states[one.found]) for one in found if one.user == "ann")
    assert by_topic == {
        ("refund", "pending"): 2,
        ("refund", "delivered"): 2,
        ("swap", "pending"): 2,
        ("swap", "delivered"): 2,
        ("ship", "pending"): 2,
        ("ship", "processed"): 1,
        ("gone", "pending"): 2,
        ("gone", "cancelled"): 1,
        ("pay", "70.00"): 2,
    }
    assert len({one.instance for one in found}) == len(found)


def test_a_request_gives_no_state_away_and_both_states_have_a_right_call() -> None:
    for one in [*retail_records(retail_tables()), *airline_records(airline_tables())]:
        assert one.calls[0] != one.calls[1]
        assert one.calls[0].tool is not None
        assert one.topic.actions[0] != one.topic.actions[1]
        words = one.request.split()
        if one.topic.name != "grounded":  # whose state is what the request is about
            assert [state for state in one.states if state in words] == [], one.request


def test_a_pending_order_is_cancelled_by_another_sessions_tool() -> None:
    pending = next(one for one in retail_records(retail_tables()) if one.topic.name == "gone")
    assert pending.arrivals[1].tool == "cancel_pending_order"
    assert pending.arrivals[0] == Call.update(orders={"#W0": {"status": "pending"}})
    cancelled = [one for one in retail_records(retail_tables()) if one.topic.name == "gone"][1]
    assert (cancelled.found, cancelled.arrivals[1].tool) == (1, UPDATE)


def test_reservations_with_a_flown_flight_or_a_covered_reason_gate_nothing_else() -> None:
    found = airline_records(airline_tables())
    assert [(one.topic.name, one.record) for one in found] == [
        ("cabin", "AAA"),
        ("cancel", "AAA"),
        ("cabin", "BBB"),
        ("grounded", "BBB"),
        ("cabin", "CCC"),
    ]
    update = found[2].calls[0].keywords
    assert (update["cabin"], len(update["flights"])) == ("business", 2)
    # Only the first flight changes, and what comes back has its seats again.
    assert found[2].arrivals[1].keywords["update_data"]["flights"].keys() == {"F1"}
    assert "available_seats" in str(found[2].arrivals[0].arguments)
    assert not any("2024" in line for one in found for line in (*one.details, one.request))


def test_records_of_one_gift_card_or_one_flight_are_not_apart() -> None:
    found = retail_records(retail_tables())
    paid = [one for one in found if one.topic.name == "pay"]
    assert [one.user for one in paid] == ["ann", "ann", "bob", "bob"]
    assert [one.user for one in apart(paid)] == ["ann", "bob"]
    # An order that another session's tool cancels is held by its own row as well.
    gone = [one for one in found if one.topic.name == "gone"]
    assert all(one.holders == {("orders", one.record)} for one in gone)
    assert apart(gone) == gone
    flown = [one for one in airline_records(airline_tables()) if one.topic.name == "cabin"]
    assert [one.record for one in apart(flown)] == ["AAA"]


def test_parts_hold_what_a_users_records_touch_and_nothing_else() -> None:
    part = retail_part(retail_tables(), "ann")
    assert set(part["users"]) == {"ann"}
    assert len(part["orders"]) == 6
    assert set(part["products"]) == {"p1"}
    flights = airline_part(airline_tables(), "ann")["flights"]
    assert {number: list(one["dates"]) for number, one in flights.items()} == {
        "F1": ["2024-05-20"],
        "F2": ["2024-05-20"],
        "F3": ["2024-05-20"],
    }


def test_sections_are_cut_as_they_stand_and_end_at_any_heading() -> None:
    text = sections(POLICY, ("## Modify pending order", "### Modify items"))
    assert text == (
        "## Modify pending order\n\nOnly a pending order can be modified.\n\n"
        "### Modify items\n\nOnce per order.\n"
    )
    with pytest.raises(PkvError, match="no heading '## Refund'"):
        sections(POLICY, ("## Refund",))
