"""What a model's positions allow: how many it serves, and which columns may stand in one cache."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedModel

from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.cache.regime import Boundary, Regime
from pkv_interp.cache.rope import boundary_of, served_by
from pkv_interp.cache.state import PerForm
from pkv_interp.errors import PkvError


@dataclass(frozen=True)
class Positions:
    """Of one model; ``Positions.of`` reads them, once per model.

    Attributes:
        name: of the model's class.
        served: number of positions, scaled ones included; None where nothing limits it.
        boundary: context length at which the rotary frequencies change, or None.
    """

    name: str
    served: int | None
    boundary: Boundary | None

    @classmethod
    def of(cls, model: PreTrainedModel) -> Positions:
        """What the model's config and its rotary modules say.

        Raises:
            PkvError: the frequencies change at more than one length.
        """
        return _KNOWN.of(model)

    def check_served(self, length: int) -> None:
        """Refuse a text that is longer than the model serves.

        Raises:
            PkvError: it is.
        """
        if self.served is not None and length > self.served:
            raise PkvError(
                f"{length} tokens were to be run and {self.name} has {self.served} positions",
                "keep the text shorter, or use a model that serves more",
            )

    def regime(self, length: int) -> Regime | None:
        """The rotary frequencies of a context of ``length`` tokens; None where all lengths share theirs."""
        return None if self.boundary is None else self.boundary.regime(length)

    def regime_of(self, cache: FrozenCache) -> Regime | None:
        """The frequencies that a cache was made with; those of its length where it does not say."""
        return self.regime(cache.length) if cache.regime is None else cache.regime

    def check_cache(self, cache: FrozenCache, length: int) -> None:
        """Refuse to run tokens over a cache in a context of ``length`` tokens, if that has other frequencies.

        Raises:
            PkvError: columns of two regimes would be mixed.
        """
        if cache.length:
            self._check(self.regime_of(cache), length)

    def check_prompt(self, cache: FrozenCache, length: int) -> None:
        """``check_cache`` for the columns that a prompt of ``length`` tokens left, so far as they say.

        Raises:
            PkvError: columns of two regimes would be mixed.
        """
        if cache.regime is not None:
            self.check_cache(cache, length)

    def check_lengths(self, reach: int, length: int) -> None:
        """Refuse two lengths between which the rotary frequencies change: columns of both would be mixed.

        Raises:
            PkvError: they do change.
        """
        if reach:
            self._check(self.regime(reach), length)

    def _check(self, made: Regime | None, length: int) -> None:
        if self.boundary is not None and made != self.boundary.regime(length):
            raise PkvError(
                f"the rotary frequencies of {self.name} change past {self.boundary.length} tokens, and the "
                f"cache would mix those of {made} and of {length} tokens",
                "use full_reprefill, or keep the text shorter",
            )


_KNOWN = PerForm(lambda model: Positions(type(model).__name__, served_by(model), boundary_of(model)))
