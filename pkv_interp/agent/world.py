"""The world outside the model: a domain's state, its records, and the two tools that enforce the state."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from pkv_interp.errors import PkvError
from pkv_interp.tasks.scenarios import Family

WAITING = "waiting"


@dataclass(frozen=True)
class Outcome:
    """What a tool answers. The text names neither the state nor the action, so it gives no decision away.

    Attributes:
        accepted: whether the tool did what it was called for.
        text: one line for the conversation.
    """

    accepted: bool
    text: str


def guards(family: Family, trigger: str, actions: tuple[str, str]) -> dict[str, frozenset[str]]:
    """Per action the values of the field under which its tool acts.

    The first action wants the trigger, the other any value but it: the policy, as the tools see it.

    Args:
        family: the domain.
        trigger: the value that the rule names.
        actions: the one that the trigger calls for, and the other.
    """
    return {
        actions[0]: frozenset({trigger}),
        actions[1]: frozenset(family.values) - {trigger},
    }


@dataclass
class World:
    """One domain while an episode lasts: tools read its state, never a prompt.

    Attributes:
        field: name of the field.
        value: what the field is now; only ``change`` sets it.
        guards: per tool the values under which it acts.
        status: per record ``"waiting"`` or the tool that closed it.
    """

    field: str
    value: str
    guards: Mapping[str, frozenset[str]]
    status: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def values(self) -> frozenset[str]:
        """All values that the field can take."""
        return frozenset().union(*self.guards.values())

    def change(self, value: str) -> None:
        """Something outside the conversation sets the field.

        Raises:
            PkvError: the field cannot take that value.
        """
        if value not in self.values:
            raise PkvError(
                f"the {self.field} cannot be '{value}'", f"choose from {', '.join(sorted(self.values))}"
            )
        self.value = value

    def open(self, record: str) -> None:
        """A record comes in and waits for a tool.

        Raises:
            PkvError: it came in before.
        """
        if record in self.status:
            raise PkvError(f"record {record} came in twice", "give every turn a record of its own")
        self.status[record] = WAITING

    def call(self, tool: str, record: str) -> Outcome:
        """Run a tool on a record.

        It refuses a record that does not wait, and an action that the field's present value does not permit;
        a refused record goes on waiting.

        Raises:
            PkvError: there is no such tool or record.
        """
        if tool not in self.guards:
            raise PkvError(f"there is no tool '{tool}'", f"choose from {', '.join(self.guards)}")
        if record not in self.status:
            raise PkvError(f"record {record} has not come in", "open it first")
        accepted = self.status[record] == WAITING and self.value in self.guards[tool]
        if accepted:
            self.status[record] = tool
        return Outcome(accepted, f"{record}: {'done' if accepted else 'refused'}.")
