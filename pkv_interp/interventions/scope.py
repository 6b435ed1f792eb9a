"""Checks of rows against one base prompt and its donors, and where a row starts to change the forward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.errors import PkvError
from pkv_interp.interventions.kinds import (
    AttentionPatch,
    HeadPatch,
    Intervention,
    Knockout,
    KVPatch,
    MLPPatch,
    ResidualEdit,
    Row,
)
from pkv_interp.interventions.sight import require_sight


@dataclass(frozen=True)
class Scope:
    """The bounds that the interventions of one call must keep.

    Attributes:
        length: tokens of the base prompt; the decision token is the last.
        n_layers, n_heads, d_model: shape of the model.
        n_donors: number of donors given.
        windows: per layer, the positions a token sees, itself included, or None; no layer has a window when
            empty.
    """

    length: int
    n_layers: int
    n_heads: int
    d_model: int
    n_donors: int
    windows: tuple[int | None, ...] = ()

    def check(self, rows: Sequence[Row]) -> None:
        """Refuse anything out of range.

        Raises:
            PkvError: naming the first offending index and the range that is allowed.
        """
        for row in rows:
            if not isinstance(row, tuple):
                raise PkvError(
                    f"a row is a {type(row).__name__}", "give every row as a tuple of interventions"
                )
            for edit in row:
                self._check_one(edit)
            require_sight(row, self.length, self.windows or (None,) * self.n_layers)

    def _check_one(self, edit: Intervention) -> None:
        if isinstance(edit, KVPatch | Knockout):
            if isinstance(edit, Knockout) and edit.queries is not None:
                _inside("position", max(edit.positions), self.length, "the prompt")
                _inside("query", max(edit.queries), self.length, "the prompt")
                if not edit.blinded(self.length - 1):
                    raise PkvError(
                        f"no query stands at or after position {min(edit.positions)}",
                        "name later queries: a token never sees those after it",
                    )
            else:
                _inside(
                    "position",
                    max(edit.positions),
                    self.length - 1,
                    "the prefix (the decision token is not in it)",
                )
            if edit.layers is not None:
                _inside("layer", max(edit.layers), self.n_layers, "the model")
        elif isinstance(edit, HeadPatch | MLPPatch | ResidualEdit):
            _inside("layer", edit.layer, self.n_layers, "the model")
            if edit.position is not None:
                _inside("position", edit.position, self.length, "the prompt")
        elif isinstance(edit, AttentionPatch):
            _inside("layer", edit.layer, self.n_layers, "the model")
        else:
            raise PkvError(
                f"{type(edit).__name__} is no intervention",
                "use KVPatch, Knockout, HeadPatch, AttentionPatch, MLPPatch or ResidualEdit",
            )
        if isinstance(edit, HeadPatch | AttentionPatch):
            _inside("head", edit.head, self.n_heads, "a layer")
        if isinstance(edit, ResidualEdit) and edit.vector.shape[0] != self.d_model:
            raise PkvError(f"a residual vector has {edit.vector.shape[0]} values", f"give it {self.d_model}")
        if isinstance(edit, KVPatch | HeadPatch | AttentionPatch | MLPPatch):
            _inside("donor", edit.donor, self.n_donors, "the donors given")


def _inside(what: str, index: int, stop: int, where: str) -> None:
    if index >= stop:
        hint = f"use 0 to {stop - 1}" if stop else f"give at least one {what}"
        raise PkvError(f"{what} {index} is out of range of {where}", hint)


def is_decision_time(edit: Intervention, length: int) -> bool:
    """True when the edit changes nothing before the decision token of a prompt of ``length`` tokens."""
    if isinstance(edit, KVPatch | AttentionPatch):
        return True
    if isinstance(edit, Knockout):
        return edit.blinded(length - 1) == (length - 1,)
    return edit.position is None or edit.position == length - 1


def first_edit(row: Row, length: int) -> int:
    """First position that this row makes run again: the decision token's when nothing earlier is edited."""
    starts = [length - 1]
    for edit in row:
        if isinstance(edit, HeadPatch | MLPPatch | ResidualEdit) and edit.position is not None:
            starts.append(edit.position)
        elif isinstance(edit, Knockout):
            starts.append(edit.blinded(length - 1)[0])
    return min(starts)


def first_layer(row: Row) -> int:
    """First layer that this row changes; layers below it compute what the base prompt's did.

    0 for a row without interventions, so that a plain decision is computed in full.
    """
    layers = [0] if not row else []
    for edit in row:
        if isinstance(edit, KVPatch | Knockout):
            layers.append(min(edit.layers) if edit.layers else 0)
        else:
            layers.append(edit.layer)
    return min(layers)
