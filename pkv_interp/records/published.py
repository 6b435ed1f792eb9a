"""Figures published elsewhere, carried as data, beside our own."""

import csv
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import resources

import pandas as pd

from pkv_interp.errors import PkvError
from pkv_interp.records.schema import RunRecord

FILE = "published_{experiment}.csv"
DEFAULT = "circuit"


@dataclass(frozen=True)
class Figure:
    """One published figure; the interval is as printed, and ``note`` says where it is not what it seems."""

    id: str
    headline: str
    model: str
    quantity: str
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int | None
    note: str
    source: str

    def __str__(self) -> str:
        text = f"{self.value:.3f}"
        if self.ci_low is not None and self.ci_high is not None:
            text += f" [{self.ci_low:.3f}, {self.ci_high:.3f}]"
        return text if self.n is None else f"{text} n={self.n}"


@lru_cache
def _figures(experiment: str) -> tuple[Figure, ...]:
    """Figures to compare an experiment's with; those of the default where it has no file of its own."""
    folder = resources.files("pkv_interp").joinpath("data")
    file = folder.joinpath(FILE.format(experiment=experiment))
    if not file.is_file():
        file = folder.joinpath(FILE.format(experiment=DEFAULT))
    lines = file.read_text(encoding="utf-8").splitlines()
    return tuple(
        Figure(
            id=line["id"],
            headline=line["headline"],
            model=line["model"],
            quantity=line["quantity"],
            value=float(line["value"]),
            ci_low=float(line["ci_low"]) if line["ci_low"] else None,
            ci_high=float(line["ci_high"]) if line["ci_high"] else None,
            n=int(line["n"]) if line["n"] else None,
            note=line["note"],
            source=line["source"],
        )
        for line in csv.DictReader(lines)
    )


def published(headline: str | None = None, experiment: str = DEFAULT) -> pd.DataFrame:
    """Published figures, all or those to be compared with one of an experiment's headline figures.

    Columns: id, headline, model, quantity, value, ci_low, ci_high, n, note, source.

    Raises:
        PkvError: nothing was published for that headline.
    """
    figures = _figures(experiment)
    found = [figure for figure in figures if headline in (None, figure.headline)]
    if not found:
        known = ", ".join(sorted({figure.headline for figure in figures}))
        raise PkvError(f"no published figure for {headline!r}", f"choose from {known}")
    return pd.DataFrame([asdict(figure) for figure in found]).astype({"n": "Int64"})


def beside_published(record: RunRecord) -> dict[str, list[Figure]]:
    """What was published for a record's headlines, by headline; those without a counterpart are left out."""
    found: dict[str, list[Figure]] = {}
    for figure in _figures(record.experiment):
        if figure.headline in record.headline:
            found.setdefault(figure.headline, []).append(figure)
    return {name: found[name] for name in record.headline if name in found}
