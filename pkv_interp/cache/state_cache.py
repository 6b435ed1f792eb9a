"""What a model with a recurrent or convolutional state keeps of a prefix: it can only be gone on with.

A state of fixed size stands for all tokens at once. No token has a column of its own in it, so that nothing
can be cut out, replaced or moved; what comes after can be run over a copy.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.errors import PkvError
from pkv_interp.indices import whole
from pkv_interp.names import Part

#: What serves where a cache can only be appended to.
APPENDING = "use erratum, hoist or full_reprefill, which only append"


@dataclass(frozen=True, eq=False)
class StateCache(FrozenCache):
    """The state after a prefix, and the states that it came by; nothing of it is ever written.

    Attributes:
        taken: the model's own cache, which forwards get copies of.
        tokens: length of the prefix.
        before: the state that tokens were appended to for this one; None of a cache without a token.
        model: name of the model's class.
    """

    taken: DynamicCache = field(default_factory=DynamicCache)
    tokens: int = 0
    before: StateCache | None = None
    model: str = ""

    def __post_init__(self) -> None:
        """There are no columns whose shapes could be checked."""

    @property
    def editable(self) -> bool:
        """Whether it has columns: it has none."""
        return False

    @property
    def device(self) -> torch.device:
        """Where the state lies."""
        return next(iter(self._tensors())).device

    @property
    def form(self) -> Hashable:
        """Of this state alone: no two can be joined."""
        return id(self)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return len(self.taken.layers)

    @property
    def length(self) -> int:
        """Number of tokens that it stands for."""
        return self.tokens

    @property
    def nbytes(self) -> int:
        """Bytes of this state, without those that it came by."""
        return sum(t.numel() * t.element_size() for t in self._tensors())

    def view(self) -> DynamicCache:
        """A copy to run tokens over.

        States are written in place by a forward and are copied; columns of attention layers in between grow
        by concatenation and are shared.
        """
        made = copy.copy(self.taken)
        made.layers = [_copied(layer) for layer in self.taken.layers]
        return made

    def slice(self, start: int, stop: int) -> FrozenCache:
        """The state after the first ``stop`` tokens, where tokens were appended there.

        Raises:
            PkvError: the span does not begin at 0, or no state was kept there.
        """
        start, stop = whole(start, "the span's start"), whole(stop, "the span's stop")
        found: StateCache | None = self if start == 0 else None
        while found is not None and found.tokens != stop:
            found = found.before
        if found is None:
            raise PkvError(
                f"{self.model} keeps a state and no columns: there is none of the tokens {start}:{stop}",
                APPENDING,
            )
        return found

    def replace(
        self,
        positions: Sequence[int],
        donor: FrozenCache,
        layers: Sequence[int] | None = None,
        part: Part = "KV",
    ) -> FrozenCache:
        """Refused: there are no columns.

        Raises:
            PkvError: always.
        """
        del positions, donor, layers, part
        raise PkvError(f"{self.model} keeps a state and no columns that could be replaced", APPENDING)

    def _tensors(self) -> list[Tensor]:
        held = [value for layer in self.taken.layers for value in vars(layer).values()]
        flat = [one for value in held for one in (value.values() if isinstance(value, dict) else (value,))]
        return [one for one in flat if isinstance(one, Tensor)]


def _copied(layer: Any) -> Any:
    made = copy.copy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, dict):
            kept = {key: one.clone() if isinstance(one, Tensor) else one for key, one in value.items()}
            setattr(made, name, kept)
        elif isinstance(value, Tensor) and name not in ("keys", "values"):
            setattr(made, name, value.clone())
    return made
