"""The main table: edits that matter, by place of the field, under both readouts."""

from collections.abc import Sequence

import numpy as np

from experiments.editing.frontier import ENDS, FrontierEdit, MethodResult
from experiments.editing.main_tables import EditsThatMatter, MainFrontier
from experiments.editing.measure import Measured
from experiments.editing.scoring import EditScorer, Part
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import SHARE, Headline
from pkv_interp.stats import Estimate


def edits_that_matter(found: Measured, scorer: EditScorer, methods: Sequence[str]) -> Part:
    """What each method decides where the stale cache is wrong and a full re-prefill right.

    Elsewhere a method can be right by doing nothing, or is asked for what no edit can give. By construction
    the stale cache has 0 and the full re-prefill 1 on these edits: the two are no headlines.

    Args:
        found: everything.
        scorer: makes the estimates.
        methods: in the order of the table.
    """
    headlines: list[Headline] = []
    counts: list[TableRow] = []
    lines: list[TableRow] = []
    for place in dict.fromkeys(scene.place for scene in found.cases.frontier):
        inside = [scene for scene in found.cases.frontier if scene.place == place]
        counts.append(_counts(found.frontier.of(inside), place))
        scenes = [s for s in inside if _matters(found.frontier.of([s])[0])]
        if not scenes:
            continue
        edits = found.frontier.of(scenes)
        for method in methods:
            mine = [edit.methods[method] for edit in edits]
            rerun = scorer.share(scenes, [one.decision.right for one in mine])
            alone = _last_token(scorer, scenes, mine)
            lines.append(_line(rerun, alone, mine, method, place))
            if method not in ENDS:
                headlines += _headlines(rerun, alone, mine, method, place)
    return headlines, [*counts, *lines]


def _matters(edit: FrontierEdit) -> bool:
    return edit.full.right and not edit.stale.right


def _counts(edits: Sequence[FrontierEdit], place: str) -> EditsThatMatter:
    return EditsThatMatter(
        place=place,
        edits=len(edits),
        matter=sum(_matters(edit) for edit in edits),
        stale_right=sum(edit.stale.right for edit in edits),
        full_wrong=sum(not edit.full.right and not edit.stale.right for edit in edits),
    )


def _last_token(
    scorer: EditScorer, scenes: Sequence[EditScene], mine: Sequence[MethodResult]
) -> Estimate | None:
    """Share right when the last token alone runs; None in measurements of before there was that readout."""
    decided = [one.last_token for one in mine if one.last_token is not None]
    return scorer.share(scenes, [one.right for one in decided]) if len(decided) == len(mine) else None


def _line(
    rerun: Estimate, alone: Estimate | None, mine: Sequence[MethodResult], method: str, place: str
) -> MainFrontier:
    kept = _mean([one.question_kept for one in mine])
    return MainFrontier.of(
        rerun,
        method=method,
        place=place,
        **interval("last_token", alone),
        question_kept=None if alone is None else kept,
        kl=_mean([one.decision.kl for one in mine]),
        tokens=_mean([one.tokens for one in mine]),
        share=_mean([one.share for one in mine]),
    )


def _headlines(
    rerun: Estimate, alone: Estimate | None, mine: Sequence[MethodResult], method: str, place: str
) -> list[Headline]:
    """One of either readout; where the question runs after every edit, the two are one."""
    name = f"p_correct_{method}_{place}"
    what = f"edits that matter, {method}, field {place}"
    headlines = [Headline(name, rerun, what, bounds=SHARE)]
    if alone is not None and any(one.question_kept for one in mine):
        headlines.append(Headline(f"{name}_last_token", alone, f"{what}, last token alone", bounds=SHARE))
    return headlines


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
