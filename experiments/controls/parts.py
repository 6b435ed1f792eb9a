"""What each part of the summary gives to the report."""

from dataclasses import dataclass

from pkv_interp.records.schema import Control
from pkv_interp.records.tables import TableRow
from pkv_interp.run.claims import Claim
from pkv_interp.run.report import Headline

#: Noise floors reported beside claims: what same-conclusion donors' KV at changed span and notes moves.
TRIGGER_ALL, FIELD_ALL = "same_conclusion_trigger_all", "same_conclusion_field_all"


@dataclass(frozen=True)
class Part:
    """Headlines, tables, claims and controls of one question."""

    headlines: list[Headline]
    tables: list[TableRow]
    claims: list[Claim]
    controls: list[Control]
