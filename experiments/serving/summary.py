"""From what the serving experiment measured to its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.serving.load import Cell, LoadRun
from experiments.serving.measure import Measured, SceneFound
from experiments.serving.scored import Served
from experiments.serving.settings import ERRATUM, FIELD_LAST, FULL, ServingSettings
from experiments.serving.tables import ArmLine, FaultLine, LoadLine, RatioLine, UpdateLine
from experiments.serving.timings import (
    PERCENTILES,
    first_token,
    first_token_ratio,
    hit_rates,
    throughput,
    throughput_ratio,
)
from experiments.serving.told import told_controls
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import interval
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import UNSIGNED, Scoring
from pkv_interp.stats import Estimate, mean


@dataclass(frozen=True)
class _Arm:
    """All runs of one arm: at capacity, by load, and the requests of both up to capacity."""

    name: str
    capacity: Sequence[LoadRun]
    loads: Mapping[float, Sequence[LoadRun]]
    requests: Sequence[Served]


def summarise(found: Measured, scoring: Scoring[ServingSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    settings = scoring.settings
    gate = scoring.gate(_decisions(found.scenes), settings.competence_threshold)
    arms = {arm: _arm(found, settings, arm) for arm in settings.arms}
    families = [scene.family for scene in found.scenes]
    right = {
        name: mean(
            [one.right for one in arm.requests],
            [families[one.scene] for one in arm.requests],
            bounds=(0.0, 1.0),
            **scoring.resampling,
        )
        for name, arm in arms.items()
    }
    return Report(
        gate=gate.competence,
        headlines=[gate.headline, *_headlines(found, scoring, arms, right)],
        tables=[
            gate.table,
            *(_arm_line(arm, arms[FULL], right[name]) for name, arm in arms.items()),
            *(line for arm in arms.values() for line in _load_lines(arm)),
            *(line for arm in arms.values() if arm.name != FULL for line in _ratio_lines(arm, arms[FULL])),
            *_fault_lines(found),
            *_update_lines(found),
        ],
        rows=[row for scene in found.scenes for row in _rows(scene)],
        controls=told_controls(found),
    )


def _decisions(scenes: Sequence[SceneFound]) -> list[Decision]:
    """What the full prefill decides on either value, for the competence gate."""
    return [
        Decision(
            one.family,
            one.instance,
            one.matches == is_new,
            side.margin,
            side.margin > 0,
            side.top_token_right,
        )
        for one in scenes
        for is_new, side in ((False, one.old), (True, one.new))
    ]


def _arm(found: Measured, settings: ServingSettings, name: str) -> _Arm:
    runs = range(settings.runs)
    capacity = found.capacity.of([Cell(name, run) for run in runs])
    loads = {load: found.load.of([Cell(name, run, load) for run in runs]) for load in settings.loads}
    under = [run for load, mine in loads.items() if load < 1.0 for run in mine]
    return _Arm(name, capacity, loads, [one for run in (*capacity, *under) for one in run.requests])


def _headlines(
    found: Measured, scoring: Scoring[ServingSettings], arms: dict[str, _Arm], right: dict[str, Estimate]
) -> list[Headline]:
    settings = scoring.settings
    families = [scene.family for scene in found.scenes]
    least = settings.loads[0]
    share = f"at {least:g} of each arm's capacity"

    def plain(name: str, estimate: Estimate, what: str, bounds: Any = NOT_NEGATIVE) -> Headline:
        return Headline(name, estimate, what, needs_gate=False, bounds=bounds)

    out: list[Headline] = []
    for arm in (ERRATUM, FIELD_LAST):
        requests = arms[arm].requests
        shares = [one.cached / max(1, one.cached + one.computed) for one in requests]
        names = [families[one.scene] for one in requests]
        hit = mean(shares, names, bounds=(0.0, 1.0), **scoring.resampling)
        out.append(plain(f"hit_{arm}", hit, "share of prompt tokens from the cache", SHARE))
    for arm in (ERRATUM, FIELD_LAST):
        ratio = throughput_ratio(arms[arm].capacity, arms[FULL].capacity)
        out.append(
            plain(f"capacity_ratio_{arm}", ratio, "answers a second over full re-prefill's, at capacity")
        )
    full = arms[FULL].loads[least]
    ratio = first_token_ratio(full, arms[ERRATUM].loads[least], 90)
    out.append(plain("ttft_p90_ratio", ratio, f"full over erratum, {share}"))
    if settings.injected[0] in arms:
        ratio = first_token_ratio(full, arms[settings.injected[0]].loads[least], 50)
        what = f"median, full over an injected edit that was made before, {share}"
        out.append(plain("inject_ttft_ratio", ratio, what))
    errors = [max(one.error or 0.0 for one in scene.arms.values()) for scene in found.scenes]
    apart = mean(errors, families, bounds=UNSIGNED, **scoring.resampling)
    out.append(
        plain("logprob_error", apart, "server's log-probabilities against the model's, worst of a prompt")
    )
    return [
        *out,
        *(
            plain(f"right_share_{name}", one, "share of served answers that are right", SHARE)
            for name, one in right.items()
        ),
    ]


def _arm_line(arm: _Arm, full: _Arm, right: Estimate) -> ArmLine:
    capacity = throughput(arm.capacity)
    requests, counters = hit_rates(arm.capacity)
    columns: dict[str, Any] = {
        **interval("capacity", capacity),
        **interval("capacity_ratio", throughput_ratio(arm.capacity, full.capacity)),
        **interval("right", right),
    }
    return ArmLine(
        arm=arm.name,
        right_per_second=capacity.value * right.value,
        hit_requests=requests,
        hit_counters=counters,
        prompt_tokens=float(np.mean([one.computed + one.cached for one in arm.requests])),
        computed_tokens=float(np.mean([one.computed for one in arm.requests])),
        error=max((one.error or 0.0 for one in arm.requests), default=0.0),
        n=len(arm.requests),
        runs=len(arm.capacity),
        **columns,
    )


def _load_lines(arm: _Arm) -> list[LoadLine]:
    lines = []
    for load, runs in arm.loads.items():
        answers = [one for run in runs for one in run.requests]
        requests, counters = hit_rates(runs)
        columns: dict[str, Any] = {}
        for percentile in PERCENTILES:
            columns |= interval(f"p{percentile}", first_token(runs, percentile))
        lines.append(
            LoadLine(
                arm=arm.name,
                load=load,
                above_capacity=load >= 1.0,
                rate=float(np.mean([run.rate or 0.0 for run in runs])),
                throughput=throughput(runs).value,
                right=float(np.mean([one.right for one in answers])),
                hit_requests=requests,
                hit_counters=counters,
                computed_tokens=float(np.mean([one.computed for one in answers])),
                n=len(answers),
                runs=len(runs),
                **columns,
            )
        )
    return lines


def _ratio_lines(arm: _Arm, full: _Arm) -> list[RatioLine]:
    lines = []
    for load, runs in arm.loads.items():
        for percentile in PERCENTILES:
            ratio = first_token_ratio(full.loads[load], runs, percentile)
            lines.append(
                RatioLine(
                    arm=arm.name,
                    load=load,
                    above_capacity=load >= 1.0,
                    percentile=percentile,
                    value=ratio.value,
                    ci_low=ratio.ci_low,
                    ci_high=ratio.ci_high,
                    runs=len(runs),
                )
            )
    return lines


def _fault_lines(found: Measured) -> list[FaultLine]:
    return [
        FaultLine(
            fault=name,
            asked=one.asked,
            answered=one.answered,
            failed_tries=sum(one.failed.values()),
            in_full=sum(one.in_full.values()),
            wrong=one.wrong,
            worst_error=one.worst,
            reasons=", ".join(f"{n} {why}" for why, n in sorted((one.failed | one.in_full).items())),
            told=one.told,
        )
        for name, one in found.faults.results.items()
    ]


def _update_lines(found: Measured) -> list[UpdateLine]:
    by_length: dict[int, list[str]] = {}
    for key in found.updates.results:
        by_length.setdefault(int(key.partition("/")[0]), []).append(key)
    lines = []
    for length, keys in by_length.items():
        mine = [found.updates.results[key] for key in keys]
        totals = {
            method: float(
                np.mean([one.methods[method].edit_ms + one.methods[method].first_ms for one in mine])
            )
            for method in mine[0].methods
        }
        for method, total in totals.items():
            updates = [one.methods[method] for one in mine]
            lines.append(
                UpdateLine(
                    length=length,
                    method=method,
                    tokens=float(np.mean([one.tokens for one in mine])),
                    edit_ms=float(np.mean([one.edit_ms for one in updates])),
                    first_ms=float(np.mean([one.first_ms for one in updates])),
                    total_ms=total,
                    speedup=totals[FULL] / total,
                    computed=float(np.mean([one.computed for one in updates])),
                    right=float(np.mean([one.right for one in updates])),
                    n=len(updates),
                )
            )
    return lines


def _rows(scene: SceneFound) -> list[Row]:
    return [
        Row(
            family=scene.family,
            split=scene.split,
            instance=scene.instance,
            wording=scene.wording,
            arm=arm,
            extra={
                "right": one.right,
                "error": one.error,
                "seconds_to_first": one.first,
                "tokens": scene.tokens[arm],
                "computed": one.computed,
                "cached": one.cached,
                "matches": scene.matches,
            },
        )
        for arm, one in scene.arms.items()
    ]
