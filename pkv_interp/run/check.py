"""A check with a known answer."""

from typing import NamedTuple


class Check(NamedTuple):
    """A check with a known answer, as a run notes it."""

    name: str
    value: float
    expected: float
    tolerance: float
    detail: str

    @property
    def passed(self) -> bool:
        """Whether what was measured is close enough to that answer."""
        return abs(self.value - self.expected) <= self.tolerance
