"""Names and settings that the tests of the controls experiment share."""

from __future__ import annotations

from typing import Any

from pkv_interp.records import RunRecord

SMALL = (
    "model=tiny-llama",
    "discovery=[orders,support]",
    "held_out=[documents,alerts]",
    "instances=2",
    "n_fillers=1",
    "top_k=[1,4]",
    "random_draws=2",
    "probe_layers=4",
    "probe_shuffles=1",
    "edit_layers=[0.5,1.0]",
    "edit_draws=2",
    "sae_features=32",
    "sae_active=4",
    "sae_steps=20",
    "sae_top=[1,3]",
    "bootstrap_draws=200",
    "threads=1",
)
#: What every competent run states; ``direction_full`` is the ceiling beside ``direction``.
HEADLINES = {
    "trigger_only", "notes_only", "write_depth", "commit_depth", "top8", "random8", "injection",
    "multi_hop_field_only", "lookup_field_only", "direction", "direction_random", "direction_full", "sae_auc",
    "sae_top1_clamp", "sae_top30_clamp", "scrub_same", "scrub_note", "scrub_rest", "competence",
}  # fmt: skip


def lines(record: RunRecord, name: str, **wanted: Any) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = record.tables[name]  # type: ignore[assignment]
    return [line for line in table if all(line[k] == v for k, v in wanted.items())]
