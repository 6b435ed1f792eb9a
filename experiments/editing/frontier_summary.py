"""The frontier as a table, with breakdowns by place and length, and the decisions of the competence gate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.editing.frontier import FrontierEdit, MethodResult
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from experiments.editing.tables import Frontier, FrontierByLength, FrontierByPlace
from pkv_interp.measure.competence import Decision
from pkv_interp.measure.edit_decisions import EditDecision
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.tables import EstimateRow, TableRow, interval
from pkv_interp.run.report import SHARE, Headline

FULL = "full_reprefill"


def gated_decisions(found: Measured) -> list[Decision]:
    """What the full prefill decides on either value; each prompt once."""
    scenes = found.cases.frontier
    # Two edits in opposite directions share their prompts.
    decided = {
        (scene.family, scene.index, scene.style, match): Decision(
            scene.family,
            scene.instance,
            match,
            decision.margin,
            decision.right,
            decision.right and decision.is_action,
        )
        for scene, edit in zip(scenes, found.frontier.of(scenes), strict=True)
        for match, decision in (
            (scene.task.matches, edit.full),
            (not scene.task.matches, _other_side(edit.stale)),
        )
    }
    return list(decided.values())


def _other_side(stale: EditDecision) -> EditDecision:
    """The stale prompt decided by its own text: the old action is right there."""
    return EditDecision(-stale.margin, not stale.right, stale.is_action)


def frontier(found: Measured, scorer: EditScorer, methods: Sequence[str]) -> Part:
    """What each method decides and costs, over all edits and by group.

    Args:
        found: everything.
        scorer: gets a row per edit and method.
        methods: in the order of the table.
    """
    scenes = found.cases.frontier
    edits = found.frontier.of(scenes)
    headlines: list[Headline] = []
    for method in methods:
        mine = [edit.methods[method] for edit in edits]
        right = scorer.share(scenes, [one.decision.right for one in mine])
        what = f"edits that are decided right after {method}"
        headlines.append(Headline(f"p_correct_{method}", right, what, bounds=SHARE))
        scorer.note(
            scenes,
            method,
            [one.decision for one in mine],
            full=[edit.full.margin for edit in edits],
            stale=[edit.stale.margin for edit in edits],
            tokens=[one.tokens for one in mine],
            latency_ms=[one.latency_ms for one in mine],
            last_token=[None if one.last_token is None else one.last_token.right for one in mine],
            question_kept=[None if one.last_token is None else one.question_kept for one in mine],
        )
    tables: list[TableRow] = [_line(scorer, scenes, edits, method) for method in methods]

    def by_length(scene: EditScene) -> dict[str, Any]:
        return {"place": scene.place, "fillers": scene.style.n_fillers}

    def by_place(scene: EditScene) -> dict[str, Any]:
        return {"place": scene.place}

    for kind, group_of in ((FrontierByLength, by_length), (FrontierByPlace, by_place)):
        tables += _broken_down(found, scorer, methods, kind, group_of)
    return headlines, tables


def _line(
    scorer: EditScorer, scenes: Sequence[EditScene], edits: Sequence[FrontierEdit], method: str
) -> Frontier:
    mine = [edit.methods[method] for edit in edits]
    latency = np.array([one.latency_ms for one in mine])
    columns: dict[str, Any] = {
        **interval("p_correct", scorer.share(scenes, [one.decision.right for one in mine])),
        **interval("kl", scorer.unsigned(scenes, [one.decision.kl for one in mine])),
        **interval("margin_error", scorer.unsigned(scenes, [one.decision.margin_error for one in mine])),
        **interval("recompute_share", scorer.mean(scenes, [one.share for one in mine])),
    }
    if FULL in edits[0].methods:
        ratio = latency / [edit.methods[FULL].latency_ms for edit in edits]
        columns |= interval("latency_ratio", scorer.mean(scenes, ratio))
    return Frontier(
        method=method,
        **columns,
        tokens=_mean([one.tokens for one in mine]),
        latency_ms=float(np.median(latency)),
        latency_ms_quartile_low=float(np.quantile(latency, 0.25)),
        latency_ms_quartile_high=float(np.quantile(latency, 0.75)),
        prompt_surgery=mine[0].prompt_surgery,
        setup_tokens=_mean([one.setup_tokens for one in mine]),
        n_instances=len(scenes),
        n_families=len({scene.family for scene in scenes}),
    )


def _broken_down(
    found: Measured,
    scorer: EditScorer,
    methods: Sequence[str],
    kind: type[EstimateRow],
    group_of: Callable[[EditScene], Mapping[str, Any]],
) -> list[EstimateRow]:
    """The measures of each method within each group of scenes, and how long the prompts are there.

    Args:
        found: everything.
        scorer: makes the estimates.
        methods: in the order of the table.
        kind: class of the lines.
        group_of: the group of a scene, as columns.
    """
    scenes = found.cases.frontier
    lines = []
    for group in {tuple(group_of(scene).items()): group_of(scene) for scene in scenes}.values():
        inside = [scene for scene in scenes if group_of(scene) == group]
        edits = found.frontier.of(inside)
        context = {"context": _mean([edit.tokens for edit in edits])}
        context["distance"] = _mean([edit.distance for edit in edits])
        for method in methods:
            mine = [edit.methods[method] for edit in edits]
            right = scorer.share(inside, [one.decision.right for one in mine])
            lines.append(kind.of(right, method=method, **group, **context, **_means(mine)))
    return lines


def _means(mine: Sequence[MethodResult]) -> dict[str, float]:
    return {
        "kl": _mean([one.decision.kl for one in mine]),
        "margin_error": _mean([one.decision.margin_error for one in mine]),
        "tokens": _mean([one.tokens for one in mine]),
        "share": _mean([one.share for one in mine]),
        "latency_ms": float(np.median([one.latency_ms for one in mine])),
    }


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
