"""Airline: reservations of which the status of the first flight gates what may be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pkv_interp.agent.tau2.records import DENY, Call, Gated, Look, Topic

DOMAIN = "airline"
AVAILABLE, LANDED, CANCELLED = "available", "landed", "cancelled"
#: Policy: a cabin cannot be changed once a flight of the reservation has been flown. The tool refuses it.
CABIN = Topic("cabin", ("## Modify flight",), "status", ("update", "deny"))
#: Policy: business flights can be cancelled; after a flown portion a transfer is needed. No tool checks.
CANCEL = Topic("cancel", ("## Cancel flight",), "status", ("cancel", "transfer"))
#: Policy: other flights can be cancelled where the airline cancelled one. No tool checks.
GROUNDED = Topic("grounded", ("## Cancel flight",), "status", ("cancel", "deny"))
TOPICS = (CABIN, CANCEL, GROUNDED)
#: Bookings from here on are from the last 24 hours before the policy's own present time.
RECENT = "2024-05-14T15:00:00"
NEXT_CABIN = {"basic_economy": "economy", "economy": "business", "business": "economy"}
Row = Mapping[str, Any]


def airline_records(tables: Row) -> list[Gated]:
    """Every reservation under every topic that it can be asked about.

    Those of which no flight but the first can gate anything: all others are still to be flown.

    Args:
        tables: the database as plain data: ``users``, ``reservations`` and ``flights``.
    """
    return [one for booked in tables["reservations"].values() for one in _of(booked, tables)]


def airline_part(tables: Row, user: str) -> dict[str, Any]:
    """The part of the database that one user's reservations touch."""
    booked = {key: one for key, one in tables["reservations"].items() if one["user_id"] == user}
    dates: dict[str, set[str]] = {}
    for leg in (leg for one in booked.values() for leg in one["flights"]):
        dates.setdefault(leg["flight_number"], set()).add(leg["date"])
    flights = {
        number: {
            **tables["flights"][number],
            "dates": {d: s for d, s in tables["flights"][number]["dates"].items() if d in days},
        }
        for number, days in dates.items()
    }
    return {"users": {user: tables["users"][user]}, "reservations": booked, "flights": flights}


def _of(booked: Row, tables: Row) -> Iterator[Gated]:
    legs = [tables["flights"][leg["flight_number"]]["dates"][leg["date"]] for leg in booked["flights"]]
    if booked.get("status") or any(leg["status"] != AVAILABLE for leg in legs):
        return
    key, cabin = booked["reservation_id"], booked["cabin"]
    methods = tables["users"][booked["user_id"]]["payment_methods"]
    card = next((name for name, one in methods.items() if one["source"] == "credit_card"), None)
    new = NEXT_CABIN[cabin]
    seats = all(leg["available_seats"][new] >= len(booked["passengers"]) for leg in legs)
    if card is not None and seats:
        flights = [{"flight_number": leg["flight_number"], "date": leg["date"]} for leg in booked["flights"]]
        update = Call.of(
            "update_reservation_flights", reservation_id=key, cabin=new, flights=flights, payment_id=card
        )
        ask = f"The user wants reservation {key} in {_words(new)}, same flights, and has confirmed."
        yield _gated(booked, tables, CABIN, (AVAILABLE, LANDED), (update, DENY), ask)
    cancel = Call.of("cancel_reservation", reservation_id=key)
    if cabin == "business":
        transfer = Call.of("transfer_to_human_agents", summary=f"cancellation of {key}")
        ask = f"The user's plans changed: reservation {key} is to be cancelled, and the user has confirmed."
        yield _gated(booked, tables, CANCEL, (AVAILABLE, LANDED), (cancel, transfer), ask)
    elif booked["created_at"] < RECENT and booked["insurance"] == "no":
        ask = f"The user asks to cancel reservation {key} if the airline cancelled it, and has confirmed."
        yield _gated(booked, tables, GROUNDED, (CANCELLED, AVAILABLE), (cancel, DENY), ask)


def _gated(
    booked: Row, tables: Row, topic: Topic, states: tuple[str, str], calls: tuple[Call, Call], request: str
) -> Gated:
    # Days are left out: the states are set, and a day to come would tell that a flight cannot have landed.
    first = booked["flights"][0]
    route = ", ".join(f"{leg['flight_number']} to {leg['destination']}" for leg in booked["flights"])
    return Gated(
        DOMAIN,
        topic,
        booked["user_id"],
        booked["reservation_id"],
        f"Reservation {booked['reservation_id']}",
        states,
        states.index(AVAILABLE),
        (_arrival(booked, tables, states[0]), _arrival(booked, tables, states[1])),
        calls,
        Look(Call.of("get_flight_status", flight_number=first["flight_number"], date=first["date"])),
        (
            f"flights: {route}",
            f"cabin: {_words(booked['cabin'])}",
            f"passengers: {len(booked['passengers'])}",
            f"travel insurance: {booked['insurance']}",
        ),
        request,
    )


def _arrival(booked: Row, tables: Row, status: str) -> Call:
    """What brings the reservation's first flight into a status."""
    leg = booked["flights"][0]
    number, date = leg["flight_number"], leg["date"]
    flight = tables["flights"][number]
    entry: dict[str, Any] = {"status": status}
    if status == AVAILABLE:
        entry |= flight["dates"][date]
    elif status == LANDED:
        entry["actual_departure_time_est"] = f"{date}T{flight['scheduled_departure_time_est']}"
        entry["actual_arrival_time_est"] = f"{date}T{flight['scheduled_arrival_time_est']}"
    return Call.update(flights={number: {"dates": {date: entry}}})


def _words(cabin: str) -> str:
    return cabin.replace("_", " ")
