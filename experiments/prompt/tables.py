"""Tables of the experiment on one prompt."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class Prompt(TableRow):
    """What the prompt is, and what is decided on it; margins in logits, towards the new value's action.

    Attributes:
        clean, corrupt: margins with the new and with the old value.
        clean_action, corrupt_action: that the rule calls for with the new and with the old value.
        right: the model decides both right.
    """

    table = "prompt"
    family: str
    instance: str
    field: str
    old: str
    new: str
    clean: float
    corrupt: float
    clean_action: str
    corrupt_action: str
    right: bool
    tokens: int


@dataclass(frozen=True)
class SinglePositions(TableRow):
    """Recovery of each position of the notes alone."""

    table = "single_positions"
    part: str
    recovery: list[float]


@dataclass(frozen=True)
class PairsOfPositions(TableRow):
    """Recovery of each two positions together: the first with all later ones, then the second, and so on."""

    table = "pairs_of_positions"
    part: str
    recovery: list[float]


@dataclass(frozen=True)
class Group(TableRow):
    """Recovery of several positions together."""

    table = "groups"
    group: str
    part: str
    positions: list[int]
    recovery: float


@dataclass(frozen=True)
class LayerCells(TableRow):
    """Recovery of each position of the notes in one layer alone, keys and values."""

    table = "cells"
    layer: int
    recovery: list[float]


@dataclass(frozen=True)
class LayerHeads(TableRow):
    """Recovery of each head of a layer at the decision token."""

    table = "heads"
    layer: int
    recovery: list[float]


@dataclass(frozen=True)
class EditLine(TableRow):
    """The decision after an edit, and what it costs; share is of a full re-prefill's tokens."""

    table = "edits"
    method: str
    action: str
    right: bool
    margin: float
    recovery: float
    kl: float
    tokens: int
    share: float
