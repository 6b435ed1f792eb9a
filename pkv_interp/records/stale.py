"""Which records the present code and weights would not make again, and why."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.requested import requested_weights
from pkv_interp.records.archive import archive_path
from pkv_interp.records.code import code_of
from pkv_interp.records.schema import RunRecord


@dataclass(frozen=True)
class Staleness:
    """Why a record is stale, which key that moves, and what to do about it."""

    key: str
    cause: str
    hint: str

    def __str__(self) -> str:
        return f"the {self.key} key has moved: {self.cause}; {self.hint}"


def staleness(record: RunRecord) -> Staleness | None:
    """What has changed since the record was made, None where nothing has.

    The measurement key is reported first: the summary key moves with it.
    """
    again = f"run experiments.{record.experiment} again"
    if record.keys is None:
        return Staleness("measurement", "it was made under schema 1, which kept no measurements", again)
    if code_of(*record.keys.measuring_roots).sha256 != record.keys.measuring_code:
        return Staleness("measurement", "code that measuring can reach has changed", again)
    if _weights(record) not in (None, record.weights):
        return Staleness("measurement", "the weights or the adapter have changed", again)
    if code_of(*record.keys.summary_roots).sha256 != record.keys.summary_code:
        there = record.path is not None and archive_path(Path(record.path)).is_file()
        hint = f"`python -m experiments.summarise {record.path}`" if there else again
        return Staleness("summary", "code of the summary has changed", hint)
    return None


def _weights(record: RunRecord) -> str | None:
    """Identity of the weights as they are now, None where they cannot be looked at from here."""
    try:
        return requested_weights(ModelConfig.model_validate(record.config["model"]), ask_hub=False)
    except (PkvError, ValidationError, OSError, KeyError):
        return None
