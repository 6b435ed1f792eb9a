"""Records whose state gates an action: which tool call is right in each of two states."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

#: The environment's own function that sets what is in a database, in place of a tool.
UPDATE = "update_db"


@dataclass(frozen=True)
class Call:
    """A call in the environment.

    Attributes:
        tool: its name; `UPDATE` sets the database; None calls nothing (a request is denied in words).
        arguments: of the call, as JSON.
    """

    tool: str | None
    arguments: str = "{}"

    @classmethod
    def of(cls, tool: str | None, **arguments: Any) -> Call:
        """A call with keyword arguments."""
        return cls(tool, json.dumps(arguments, sort_keys=True))

    @classmethod
    def update(cls, **tables: Any) -> Call:
        """What sets parts of the database: by table, then by key."""
        return cls.of(UPDATE, update_data=tables)

    @property
    def keywords(self) -> dict[str, Any]:
        """The arguments as they are passed on."""
        return json.loads(self.arguments)


@dataclass(frozen=True)
class Look:
    """Where the environment itself tells a state.

    Attributes:
        call: of one of its reading tools.
        path: keys from what that tool gives to the state; none where it gives the state.
    """

    call: Call
    path: tuple[str, ...] = ()


#: A request that the policy does not allow is denied in words; no tool is called.
DENY = Call(None)


@dataclass(frozen=True)
class Topic:
    """One kind of request, and the policy's own text that gates it.

    Attributes:
        name: unique in its domain.
        headings: of the policy's sections that speak of it, as they stand there.
        field: label of the state.
        actions: the words that name what to do, right in the first and in the second state.
    """

    name: str
    headings: tuple[str, ...]
    field: str
    actions: tuple[str, str]


@dataclass(frozen=True)
class Gated:
    """One record and what is asked about it; the action of an index is right in the state of that index.

    Attributes:
        domain: ``retail`` or ``airline``.
        topic: what is asked.
        user: whose record it is.
        record: its id.
        title: the line that opens it in a prompt.
        states: the field's two values.
        found: index of the state that the database has it in.
        arrivals: what brings the record into each state.
        calls: the call that is right in each state.
        look: where the environment tells the state.
        details: further lines about it.
        request: what the user wants; it gives no state away.
    """

    domain: str
    topic: Topic
    user: str
    record: str
    title: str
    states: tuple[str, str]
    found: int
    arrivals: tuple[Call, Call]
    calls: tuple[Call, Call]
    look: Look
    details: tuple[str, ...]
    request: str

    @property
    def instance(self) -> str:
        """Unique in a run."""
        return f"{self.domain}-{self.topic.name}-{self.record.strip('#')}"

    @property
    def holders(self) -> frozenset[tuple[str, str]]:
        """Rows of the database that have the state: table and key of an order, a flight, or a card's user."""
        updates = [call.keywords["update_data"] for call in self.arrivals if call.tool == UPDATE]
        return frozenset((table, key) for update in updates for table, rows in update.items() for key in rows)

    def told(self, value: str) -> str:
        """The line by which a lookup of the record tells its state."""
        return f"{self.title} was looked up: {self.topic.field} {value}."

    @property
    def label(self) -> str:
        """The field's name where several records stand in one prompt."""
        return f"{self.topic.field} of {self.record}"


def apart(records: Iterable[Gated]) -> list[Gated]:
    """The records, in order, of which no two have their state in one row of the database.

    Two payments by one gift card have one balance: what is done about one record changes the state of the
    other, and neither could be told on its own.
    """
    taken, out = set[tuple[str, str]](), list[Gated]()
    for one in records:
        if taken.isdisjoint(one.holders):
            taken |= one.holders
            out.append(one)
    return out
