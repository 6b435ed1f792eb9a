"""Rows and tables of the weight edits."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments._editing_weights_arms import CACHE, ROME, Bench
from experiments._scores import named
from pkv_interp.records import Run
from pkv_interp.stats import mean
from pkv_interp.tasks import split_of
from pkv_interp.weight_editing.mutable import RecordEdit

Chunk = Mapping[str, Any]
_SHARES = ("success", "rephrased", "contamination", "collateral")


def setup_line(
    bench: Bench, chosen: Sequence[tuple[RecordEdit, bool]], n_drawn: int, best: Mapping[str, int]
) -> dict[str, Any]:
    """What the edits rest on: the covariance's condition, and whether the model is right on both values."""
    conditions = {arm: bench.covariances[best[arm]] for arm in ROME}
    first = conditions[ROME[0]]
    return {
        "competent": all(right for _, right in chosen) and not bench.loaded.info.random_weights,
        "n_records": len(chosen),
        "n_left_out": n_drawn - len(chosen),
        "covariance_tokens": first.n_tokens,
        "covariance_width": len(first.matrix),
        **{f"{arm}_layer": best[arm] for arm in ROME},
        **{f"{arm}_condition": made.condition for arm, made in conditions.items()},
        **{
            f"{arm}_condition_without_ridge": made.bare_condition if made.bare_condition < 1e300 else None
            for arm, made in conditions.items()
        },
    }


def method_line(
    arm: str, edits: Sequence[RecordEdit], chunks: Sequence[Chunk], seed: int, draws: int, layer: int | None
) -> dict[str, Any]:
    """One line of the table: shares and the latency, each with its interval over families."""
    names = [edit.family for edit in edits]
    options: dict[str, Any] = {"seed": seed, "draws": draws}
    line: dict[str, Any] = {"method": arm, "edits": "cache" if arm in CACHE else "weights", "layer": layer}
    for share in _SHARES:
        values = [float(chunk[arm][share]) for chunk in chunks]
        line |= named(share, mean(values, names, bounds=(0.0, 1.0), **options))
    latency = mean([chunk[arm]["latency_ms"] for chunk in chunks], names, **options)
    line |= named("latency_ms", latency)
    return line | {"n_families": latency.n_families, "n_instances": latency.n_instances}


def add_rows(run: Run, edits: Sequence[RecordEdit], chunks: Sequence[Chunk]) -> None:
    """One row per record and arm; the margin is towards the action of the new value."""
    for edit, chunk in zip(edits, chunks, strict=True):
        for arm, found in chunk.items():
            run.rows.append(
                {
                    "family": edit.family,
                    "split": split_of(edit.family),
                    "instance": edit.instance,
                    "wording": "weights",
                    "arm": f"weight_edit/{arm}",
                    "patched": found["margin"],
                    "extra": {name: value for name, value in found.items() if name != "margin"},
                }
            )
