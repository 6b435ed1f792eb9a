"""From what the weight edits measured to their report."""

from dataclasses import asdict
from typing import Any

from experiments.weight_edits.arms import CACHE, ArmResult
from experiments.weight_edits.editor import ROME
from experiments.weight_edits.measure import Measured
from experiments.weight_edits.settings import WeightEditsSettings
from experiments.weight_edits.tables import WeightEdit, WeightLayer, WeightSetup, WeightValidation
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import interval
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean

#: Measures that are shares, with their words.
SHARES = {
    "success": "record follows the edit",
    "rephrased": "same, rule in other words",
    "contamination": "other records that change",
    "collateral": "unrelated decisions that change",
}
LATENCY = "latency_ms"
_ARMS = {
    "field_erratum": "field and erratum",
    "field_only": "field only",
    "rome_record": "ROME on the record",
    "rome_last_token": "ROME on the last token",
    "lora_statements": "LoRA on the value",
    "lora_action": "LoRA on the action",
}


def summarise(found: Measured, scoring: Scoring[WeightEditsSettings]) -> Report:
    """Estimates, tables and rows of a run.

    Success of edits that are fitted to the scored prompt is no held-out figure; a cache edit touches no
    weights, so its contamination and collateral are 0 by construction, and measured all the same.
    """
    gate = scoring.gate(found.first.decisions, scoring.settings.competence_threshold)
    arms = found.arms.of(found.records)
    headlines: list[Headline] = []
    lines: list[WeightEdit] = []
    for arm in arms[0].arms:
        estimates = _estimates(found, [one.arms[arm] for one in arms], scoring)
        headlines += [
            Headline(
                f"{measure}_{arm}",
                estimate,
                f"{SHARES.get(measure, 'edit and decision, ms')}, {_ARMS[arm]}",
                bounds=SHARE if measure in SHARES else NOT_NEGATIVE,
            )
            for measure, estimate in estimates.items()
        ]
        lines.append(_line(found, arm, estimates))
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *headlines],
        tables=[
            gate.table,
            *(
                WeightValidation(trial.side, trial.layer, trial.chosen, **asdict(trial.score))
                for trial in found.facts.trials
            ),
            *(WeightLayer(**asdict(trial)) for trial in found.layers.trials),
            _setup(found, scoring),
            *lines,
        ],
        rows=[*_first_rows(found), *_rows(found)],
    )


def _estimates(
    found: Measured, results: list[ArmResult], scoring: Scoring[WeightEditsSettings]
) -> dict[str, Estimate]:
    families = [record.family for record in found.records]
    shares = {
        share: mean(
            [float(getattr(one, share)) for one in results],
            families,
            bounds=(0.0, 1.0),
            **scoring.resampling,
        )
        for share in SHARES
    }
    return shares | {LATENCY: mean([one.latency_ms for one in results], families, **scoring.resampling)}


def _line(found: Measured, arm: str, estimates: dict[str, Estimate]) -> WeightEdit:
    columns: dict[str, Any] = {}
    for measure, estimate in estimates.items():
        columns |= interval(measure, estimate)
    return WeightEdit(
        method=arm,
        edits="cache" if arm in CACHE else "weights",
        layer=found.layers.best.get(arm),
        **columns,
        n_families=estimates[LATENCY].n_families,
        n_instances=estimates[LATENCY].n_instances,
    )


def _setup(found: Measured, scoring: Scoring[WeightEditsSettings]) -> WeightSetup:
    arms = found.setup.arms
    columns: dict[str, Any] = {}
    for arm in ROME:
        columns |= {
            f"{arm}_layer": arms[arm].layer,
            f"{arm}_condition": arms[arm].condition,
            f"{arm}_condition_without_ridge": arms[arm].bare_condition,
        }
    return WeightSetup(
        competent=found.decided and not scoring.random_weights,
        n_records=len(found.records),
        n_left_out=found.n_drawn - len(found.records),
        covariance_tokens=arms[ROME[0]].tokens,
        covariance_width=arms[ROME[0]].width,
        **columns,
    )


def _first_rows(found: Measured) -> list[Row]:
    """One row per record that the gate judges, before any edit; margins are the first action's."""
    decided = {(one.family, one.instance, one.gold_is_match): one for one in found.first.decisions}
    rows = []
    for family, instance in dict.fromkeys((one.family, one.instance) for one in found.first.decisions):
        match, mismatch = decided[family, instance, True], decided[family, instance, False]
        rows.append(
            Row(
                family=family,
                split=found.splits[family],
                instance=instance,
                wording="weights",
                arm="unedited",
                clean=match.margin,
                corrupt=-mismatch.margin,
                extra={
                    "match_right": match.right,
                    "match_top_token_right": match.top_token_right,
                    "mismatch_right": mismatch.right,
                    "mismatch_top_token_right": mismatch.top_token_right,
                },
            )
        )
    return rows


def _rows(found: Measured) -> list[Row]:
    """One row per record and arm; the margin is towards the action of the new value."""
    return [
        Row(
            family=record.family,
            split=found.splits[record.family],
            instance=record.instance,
            wording="weights",
            arm=f"weight_edit/{arm}",
            patched=result.margin,
            extra={
                "success": result.success,
                "rephrased": result.rephrased,
                "contamination": result.contamination,
                "collateral": result.collateral,
                "latency_ms": result.latency_ms,
                "steps": result.steps,
            },
        )
        for record in found.records
        for arm, result in found.arms.at(record).arms.items()
    ]
