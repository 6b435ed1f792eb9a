"""Names and settings that the tests of the controls experiment share."""

from __future__ import annotations

from typing import Any

from pkv_interp.records import RunRecord
from tests import runs

SMALL = runs.CONTROLS
#: What every competent run states; ``direction_full`` and ``sae_full`` are ceilings beside other figures.
HEADLINES = {
    "trigger_only", "notes_only", "write_depth", "commit_depth", "top8", "random8", "injection",
    "injection_random", "injection_same", "injection_field_notes",
    "lookup_field_only", "direction", "direction_random", "direction_full", "sae_auc",
    "sae_full", "sae_top1_clamp", "sae_top30_clamp", "scrub_same", "scrub_note", "scrub_rest", "competence",
}  # fmt: skip
#: Of these, what nobody else has published.
UNPUBLISHED = {
    "competence", "direction_full", "sae_full", "injection", "injection_random", "injection_same",
}  # fmt: skip


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]
