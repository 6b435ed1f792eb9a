"""Rotary frequencies that follow the length of the context: which of them a cache was made with.

Dynamic NTK and longrope turn the keys of a whole forward by frequencies that depend on the last position in
it. Columns of different frequencies do not belong into one cache: no forward over one text makes such a one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Regime:
    """The frequencies of some context lengths; equal regimes have equal frequencies.

    Attributes:
        boundary: longest context with the first frequencies.
        length: 0 for contexts up to the boundary; past it the context length that set the frequencies
            (dynamic), or boundary + 1 where all longer contexts share theirs (longrope).
    """

    boundary: int
    length: int

    def __str__(self) -> str:
        if not self.length:
            return f"up to {self.boundary} tokens"
        return f"past {self.boundary} tokens" if self.length == self.boundary + 1 else f"{self.length} tokens"


@dataclass(frozen=True)
class Boundary:
    """A context length at which a model's rotary frequencies change.

    Attributes:
        length: longest context with the first frequencies.
        settles: past it one other set holds (longrope); otherwise every length has its own (dynamic).
    """

    length: int
    settles: bool

    def regime(self, length: int) -> Regime:
        """The frequencies of a context of ``length`` tokens."""
        if length <= self.length:
            return Regime(self.length, 0)
        return Regime(self.length, self.length + 1 if self.settles else length)

    def same(self, one: int, other: int) -> bool:
        """Whether contexts of these lengths have the same frequencies."""
        return self.regime(one) == self.regime(other)


def one_regime(regimes: Iterable[Regime | None]) -> Regime | None:
    """The regime that all share; None, which says that none is known, agrees with any.

    Raises:
        PkvError: there are two.
    """
    found = {regime for regime in regimes if regime is not None}
    if len(found) > 1:
        told = " and of ".join(str(regime) for regime in sorted(found, key=lambda r: r.length))
        boundary = next(iter(found)).boundary
        raise PkvError(
            f"the rotary frequencies change past {boundary} tokens, and the cache would mix those of {told}",
            "compute all parts at the length of the whole, or keep the text shorter",
        )
    return next(iter(found), None)
