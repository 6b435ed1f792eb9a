"""What summaries and figures are given, without a run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pkv_interp.records import Competence, RunRecord
from pkv_interp.records.archive import Head
from pkv_interp.records.environment import environment
from pkv_interp.records.tables import TableRow, by_table
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.stats import Estimate


def scoring(settings: ExperimentSettings, noise_floor: float = 0.01) -> Scoring[Any]:
    """Scoring of a run on a trained model in float32.

    Args:
        settings: of the run.
        noise_floor: of margins, in logits.
    """
    model: dict[str, str | int | float | bool | None] = {"dtype": "float32", "random_weights": False}
    return Scoring(settings, Head(model, (), {"margin": noise_floor}, environment()))


def estimate(value: float, half: float = 0.1, n_families: int = 3) -> Estimate:
    """An estimate over two instances a family.

    Args:
        value: the figure.
        half: of its interval.
        n_families: that it rests on.
    """
    return Estimate(
        value=value,
        ci_low=value - half,
        ci_high=value + half,
        n_families=n_families,
        n_instances=2 * n_families,
    )


def record(experiment: str, lines: Iterable[TableRow], *, competent: bool = True) -> RunRecord:
    """The record of a success on a model called made-up, without rows and headlines.

    Args:
        experiment: its name.
        lines: of all tables.
        competent: the model passed the gate.
    """
    fields = {
        "key": "0" * 64,
        "experiment": experiment,
        "status": "success",
        "config": {"model": {"name": "made-up"}},
        "model": {"name": "made-up", "revision": None, "weight_sha256": "0" * 64},
        "environment": environment(),
        "seed": 0,
        "started_at": "2026-01-01T00:00:00+00:00",
        "seconds": 1.0,
        "competence": Competence(
            accuracy=estimate(0.9 if competent else 0.4), threshold=0.8, passed=competent
        ),
        "tables": by_table(lines),
    }
    return RunRecord.model_validate(fields)
