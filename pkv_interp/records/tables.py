"""Tables of a record as row dataclasses: what a summary writes and what a figure reads are one type."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Self, TypeVar

import pandas as pd

from pkv_interp.errors import PkvError
from pkv_interp.records.codec import Encoded, decode
from pkv_interp.records.schema import RunRecord
from pkv_interp.stats import Estimate

R = TypeVar("R", bound="TableRow")


class TableAbsent(PkvError):
    """The record has no such table, or an empty one: that part was not measured."""


@dataclass(frozen=True)
class TableRow:
    """One line of a table; a subclass is a frozen dataclass of plain columns and names its table."""

    table: ClassVar[str]

    def columns(self) -> dict[str, Any]:
        """The line as it goes into the record."""
        return asdict(self)


@dataclass(frozen=True)
class EstimateRow(TableRow):
    """A line whose main column is an estimate, spread over five columns so that data frames can use them."""

    value: float
    ci_low: float | None
    ci_high: float | None
    n_families: int
    n_instances: int

    @classmethod
    def of(cls, estimate: Estimate, **columns: Any) -> Self:
        """The line of an estimate, with the subclass's own columns."""
        return cls(**estimate.model_dump(include=set(Estimate.model_fields)), **columns)

    @property
    def estimate(self) -> Estimate:
        """The five columns as one."""
        return Estimate(**{name: getattr(self, name) for name in Estimate.model_fields})


def interval(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    """A second estimate in a line, as three columns: ``name``, ``name_ci_low`` and ``name_ci_high``.

    Args:
        name: of the first column.
        estimate: None where it does not exist, which leaves the columns empty.
    """
    if estimate is None:
        return {name: None, f"{name}_ci_low": None, f"{name}_ci_high": None}
    return {name: estimate.value, f"{name}_ci_low": estimate.ci_low, f"{name}_ci_high": estimate.ci_high}


def rows_of(record: RunRecord, kind: type[R]) -> list[R]:
    """A table of a record, in its order.

    Raises:
        TableAbsent: the record has no such table, or an empty one.
        PkvError: its lines lack a column.
    """
    lines = record.tables.get(kind.table)
    place = record.path or record.key
    if not lines:
        raise TableAbsent(
            f"{place} has no table '{kind.table}'", f"run experiments.{record.experiment} again"
        )
    known = {field.name for field in fields(kind)}
    told = [{name: value for name, value in line.items() if name in known} for line in lines]
    return [decode(Encoded(line, {}), kind, f"table '{kind.table}' of {place}") for line in told]


def frame_of(record: RunRecord, kind: type[TableRow]) -> pd.DataFrame:
    """A table of a record as a data frame, for notebooks.

    Raises:
        PkvError: as `rows_of`.
    """
    return pd.DataFrame([row.columns() for row in rows_of(record, kind)])


def by_table(rows: Iterable[TableRow]) -> dict[str, list[dict[str, Any]]]:
    """Lines of any number of tables, sorted into them; tables and lines stay in the order given."""
    out: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        out.setdefault(row.table, []).append(row.columns())
    return out


def first_of(record: RunRecord, kind: type[R]) -> R:
    """The only line of a table of one line.

    Raises:
        PkvError: as `rows_of`.
    """
    found: Sequence[R] = rows_of(record, kind)
    return found[0]
