"""The interventions. A row is a tuple of them, applied together in one counterfactual.

Positions are token positions in the base prompt and in the donor, which have equal length; ``donor`` is an
index into the list of donors given to the engine. Heads of ``HeadPatch`` are query heads.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.frozen import PARTS, Part
from pkv_interp.errors import PkvError


def _non_negative(what: str, values: Iterable[int]) -> None:
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise PkvError(
                f"{what} {value!r} is not a count from 0", f"give every {what} as an int of at least 0"
            )


def _sites(positions: tuple[int, ...], layers: tuple[int, ...] | None) -> None:
    if not isinstance(positions, tuple) or not (layers is None or isinstance(layers, tuple)):
        raise PkvError("positions and layers must be tuples", "write (7,) for a single one")
    if not positions or layers == ():
        raise PkvError(
            "an intervention without positions or layers does nothing", "name at least one, or drop it"
        )
    _non_negative("position", positions)
    _non_negative("layer", layers or ())


@dataclass(frozen=True)
class KVPatch:
    """The decision token reads the donor's keys, values or both at these positions.

    Tokens between are not run again. With part "K" the value stays the base's own, and the other way round.
    Of two patches of one part at one place in a row the later one holds.
    """

    positions: tuple[int, ...]
    donor: int
    layers: tuple[int, ...] | None = None
    part: Part = "KV"

    def __post_init__(self) -> None:
        _sites(self.positions, self.layers)
        _non_negative("donor", (self.donor,))
        if self.part not in PARTS:
            raise PkvError(f"part {self.part!r} is unknown", "use K, V or KV")


@dataclass(frozen=True)
class Knockout:
    """The decision token may not attend to these positions, in all layers when ``layers`` is None."""

    positions: tuple[int, ...]
    layers: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _sites(self.positions, self.layers)


@dataclass(frozen=True)
class HeadPatch:
    """One head's z (its slice of the input of o_proj) is the donor's, at ``position``.

    None is the decision token.
    """

    layer: int
    head: int
    donor: int
    position: int | None = None

    def __post_init__(self) -> None:
        _non_negative("layer", (self.layer,))
        _non_negative("head", (self.head,))
        _non_negative("donor", (self.donor,))
        _non_negative("position", () if self.position is None else (self.position,))


@dataclass(frozen=True)
class MLPPatch:
    """The output of one layer's MLP is the donor's, at ``position`` (None: the decision token).

    It is the output of the module, before the norm that Gemma 2 and 3 put after it.
    """

    layer: int
    donor: int
    position: int | None = None

    def __post_init__(self) -> None:
        _non_negative("layer", (self.layer,))
        _non_negative("donor", (self.donor,))
        _non_negative("position", () if self.position is None else (self.position,))


@dataclass(frozen=True, eq=False)
class ResidualEdit:
    """A vector of d_model values added to, or set as, the output of a block at one position.

    Of several at one place in a row each acts on what the earlier ones left.
    """

    layer: int
    position: int
    vector: Float[Tensor, " d_model"]
    mode: Literal["add", "set"] = "add"

    def __post_init__(self) -> None:
        _non_negative("layer", (self.layer,))
        _non_negative("position", (self.position,))
        if self.mode not in ("add", "set"):
            raise PkvError(f"mode {self.mode!r} is unknown", "use add or set")
        if self.vector.ndim != 1:
            raise PkvError(
                f"a residual vector has shape {tuple(self.vector.shape)}", "pass one of shape (d_model,)"
            )


Intervention: TypeAlias = KVPatch | Knockout | HeadPatch | MLPPatch | ResidualEdit
Row: TypeAlias = tuple[Intervention, ...]
