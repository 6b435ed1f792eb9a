"""What one stage of an experiment found, by case."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from pkv_interp.errors import PkvError

T = TypeVar("T")
U = TypeVar("U")


class Named(Protocol):
    """Anything that names the instance that it is about, uniquely in its stage: a case, a quad."""

    @property
    def instance(self) -> str:
        """The name."""
        ...


def key_of(item: Named) -> str:
    """The key of an item in a stage: its name, after its wording where it has one."""
    wording = getattr(item, "wording", None)
    return item.instance if wording is None else f"{wording}/{item.instance}"


@dataclass(frozen=True)
class Stage(Generic[T]):
    """Results of one stage, by the key of the case that they are about, in the order of measuring."""

    results: dict[str, T]

    def of(self, items: Iterable[Named]) -> list[T]:
        """Results of these items, in their order.

        Raises:
            PkvError: one was not measured.
        """
        return [self.at(item) for item in items]

    def at(self, item: Named) -> T:
        """The result of one item.

        Raises:
            PkvError: it was not measured.
        """
        key = key_of(item)
        if key not in self.results:
            raise PkvError(f"'{key}' was not measured in this stage", "run the experiment again")
        return self.results[key]

    def all(self) -> list[T]:
        """Every result."""
        return list(self.results.values())

    def map(self, change: "Callable[[T], U]") -> "Stage[U]":
        """A stage of something that follows from each result, for example the part that a summary reads."""
        return Stage({key: change(result) for key, result in self.results.items()})

    def has(self, item: Named) -> bool:
        """Whether an item was measured."""
        return key_of(item) in self.results


def stacked(results: Iterable[T], quantity: Callable[[T], ArrayLike]) -> np.ndarray:
    """One quantity over results, as float64 with the results first."""
    return np.stack([np.asarray(quantity(result), float) for result in results])
