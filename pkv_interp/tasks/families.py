"""Evaluation scenario families, fixed by name. None of their fields, values or actions is used in training.

A family is one domain with a mutable field and two actions. It is the cluster of every interval: instances of
one family share their words, so they are not independent. `DISCOVERY` families rank sites, `HELD_OUT`
families score them; the two never meet.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """One scenario family.

    Attributes:
        name: identifier, used in records and splits.
        role: system message.
        field: label of the mutable field.
        values: 2 to 4 values of one kind; two of equal token length make a case.
        actions: the two decision words.
        request: the turn that asks for a decision; ``{id}`` is filled with a record number.
    """

    name: str
    role: str
    field: str
    values: tuple[str, ...]
    actions: tuple[str, str]
    request: str


FAMILIES: tuple[Family, ...] = (
    # discovery
    Family(
        "orders",
        "You handle orders for a web shop.",
        "order status",
        ("pending", "shipped", "delivered", "returned"),
        ("cancel", "deny"),
        "The customer asks us to cancel order {id}.",
    ),
    Family(
        "support",
        "You work at the support desk of a phone company.",
        "caller standing",
        ("verified", "suspended", "unknown"),
        ("refund", "escalate"),
        "The caller on ticket {id} wants the last charge back.",
    ),
    Family(
        "deploys",
        "You guard the release pipeline of a software team.",
        "build state",
        ("green", "red", "yellow"),
        ("release", "hold"),
        "Change {id} is next in the pipeline.",
    ),
    Family(
        "pharmacy",
        "You check prescriptions in a hospital pharmacy.",
        "allergy check",
        ("clear", "positive", "missing"),
        ("fill", "refuse"),
        "Prescription {id} is on the counter.",
    ),
    Family(
        "lending",
        "You review credit requests at a savings bank.",
        "client tier",
        ("gold", "silver", "bronze"),
        ("approve", "decline"),
        "Request {id} asks for a larger credit line.",
    ),
    Family(
        "stock",
        "You plan supplies for a chain of kitchens.",
        "shelf level",
        ("low", "full", "half"),
        ("buy", "wait"),
        "The weekly count for shelf {id} has come in.",
    ),
    Family(
        "boarding",
        "You assist the crew at an airport gate.",
        "visa state",
        ("valid", "expired", "absent"),
        ("board", "stop"),
        "Passenger {id} is at the desk.",
    ),
    Family(
        "lights",
        "You steer the traffic lights of a small town.",
        "road load",
        ("heavy", "light", "normal"),
        ("extend", "shorten"),
        "Crossing {id} reports its counts.",
    ),
    # held out
    Family(
        "documents",
        "You answer requests for files in a law office.",
        "clearance",
        ("public", "secret", "internal"),
        ("share", "block"),
        "A visitor asks for file {id}.",
    ),
    Family(
        "alerts",
        "You watch the monitors of a data center at night.",
        "severity",
        ("critical", "minor", "major"),
        ("page", "ignore"),
        "Alert {id} has just fired.",
    ),
    Family(
        "customs",
        "You sort parcels at a border office.",
        "cargo class",
        ("food", "metal", "paper"),
        ("inspect", "pass"),
        "Parcel {id} is on the belt.",
    ),
    Family(
        "garden",
        "You run the watering system of a public garden.",
        "soil reading",
        ("dry", "wet", "damp"),
        ("water", "skip"),
        "Bed {id} is due in the schedule.",
    ),
    Family(
        "triage",
        "You help the nurse at the door of an emergency ward.",
        "patient need",
        ("urgent", "routine", "chronic"),
        ("admit", "return"),
        "Patient {id} has signed in.",
    ),
    Family(
        "claims",
        "You look through claims at an insurance company.",
        "damage type",
        ("fire", "flood", "theft"),
        ("pay", "review"),
        "Claim {id} was filed this morning.",
    ),
    Family(
        "posts",
        "You keep order on a discussion board.",
        "content label",
        ("spam", "news", "advice"),
        ("remove", "keep"),
        "Post {id} was reported by a reader.",
    ),
    Family(
        "fares",
        "You change bookings for a railway company.",
        "fare kind",
        ("flexible", "fixed", "group"),
        ("change", "reject"),
        "The holder of ticket {id} wants another train.",
    ),
)

DISCOVERY: tuple[str, ...] = tuple(f.name for f in FAMILIES[:8])
HELD_OUT: tuple[str, ...] = tuple(f.name for f in FAMILIES[8:])
BY_NAME: dict[str, Family] = {f.name: f for f in FAMILIES}


def split_of(name: str) -> str:
    """Return ``"discovery"`` or ``"held_out"`` for a family name."""
    return "discovery" if name in DISCOVERY else "held_out"
