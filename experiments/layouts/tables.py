"""Tables of the experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow

#: In the column ``kind``: pairs of every kind together.
ALL = "all"


@dataclass(frozen=True)
class LayoutLine(EstimateRow):
    """Share of a layout's pairs that are right on both sides; the best layout first.

    ``top_right`` is that share among all tokens, ``margin`` the mean of each pair's smaller margin.
    """

    table = "layouts"
    layout: str
    order: str
    kind: str
    pairs: int
    made: int
    top_right: float
    families_right: int
    margin: float | None


@dataclass(frozen=True)
class FamilyLine(TableRow):
    """Share of a family's pairs that are right on both sides, by layout and kind."""

    table = "families"
    layout: str
    kind: str
    family: str
    right: float
    pairs: int


@dataclass(frozen=True)
class Choice(TableRow):
    """The best layout, of all and of either order; ``followed`` where ``least`` of its pairs are right."""

    table = "choice"
    order: str
    layout: str
    right: float
    least: float
    followed: bool
