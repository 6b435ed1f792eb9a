"""The committed records: a second to read and validate, which a process needs once."""

from __future__ import annotations

from functools import cache

from pkv_interp.records import RunRecord, load_records
from pkv_interp.records.find import LOCAL
from tests.runs import ROOT


@cache
def _all() -> tuple[RunRecord, ...]:
    return tuple(load_records(ROOT / "results", without=LOCAL))


def committed(experiment: str | None = None) -> list[RunRecord]:
    """Those of an experiment, or all; tests leave them as they are."""
    return [record for record in _all() if experiment in (None, record.experiment)]
