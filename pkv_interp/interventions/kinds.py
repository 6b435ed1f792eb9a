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
    """Some tokens may not attend to these positions, in all layers when ``layers`` is None.

    The tokens are those at ``queries``; None is the decision token, over the base's own cache. Any earlier
    query changes the prefill, and its row is run again from the first of them on (``Engine.rerun``). What
    other positions hold changes with it, and the decision reads them as they then are.
    """

    positions: tuple[int, ...]
    layers: tuple[int, ...] | None = None
    queries: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        _sites(self.positions, self.layers)
        if self.queries is None:
            return
        if not isinstance(self.queries, tuple) or not self.queries:
            raise PkvError(
                f"queries {self.queries!r} name no token",
                "give a tuple of positions, or None for the decision",
            )
        _non_negative("query", self.queries)

    def blinded(self, decision: int) -> tuple[int, ...]:
        """The tokens that lose something, in order: queries before every closed position see none of them.

        Args:
            decision: position of the decision token.
        """
        if self.queries is None:
            return (decision,)
        first = min(self.positions)
        return tuple(sorted({query for query in self.queries if query >= first}))


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
class AttentionPatch:
    """One head's attention at the decision token, half of it the donor's: its weights or its values.

    With part "pattern" the head weighs the base's values as the donor does; with "values" it weighs the
    donor's values as the base does. Both are as in the prompts' own prefills, whatever else the row edits,
    and the decision token's own column is one of them. ``HeadPatch`` puts in both at once.
    """

    layer: int
    head: int
    donor: int
    part: Literal["pattern", "values"]

    def __post_init__(self) -> None:
        _non_negative("layer", (self.layer,))
        _non_negative("head", (self.head,))
        _non_negative("donor", (self.donor,))
        if self.part not in ("pattern", "values"):
            raise PkvError(f"part {self.part!r} of the attention is unknown", "use pattern or values")


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


Intervention: TypeAlias = KVPatch | Knockout | HeadPatch | AttentionPatch | MLPPatch | ResidualEdit
Row: TypeAlias = tuple[Intervention, ...]
