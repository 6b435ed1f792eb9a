"""How well margins of edited caches follow from the two plain prompts, and where they do not."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from experiments.anatomy.measure import Measured
from experiments.anatomy.prediction import EditedCache, Predictions
from experiments.anatomy.tables import PredictedEdit, PredictedKind
from pkv_interp.records.tables import TableRow, interval
from pkv_interp.run.report import Headline
from pkv_interp.run.scoring import Scorer
from pkv_interp.stats import Estimate, ratio_of_means

Section = tuple[list[Headline], list[TableRow]]
#: No share of variance can be more than all of it; a prediction worse than the mean is below 0.
_R2 = (None, 1.0)
#: Lines over several kinds of edits: all, and those that hide nothing, of which alone the toy says something.
EVERY, SHOWN = "every edit", "every edit that hides nothing"


def prediction(found: Measured, held: Scorer) -> Section:
    """R squared over all edits and by kind, ours and the published toy's, and a line for every edit."""
    scored = found.predictions.of(held.cases)
    kinds = [EVERY, SHOWN, *dict.fromkeys(edit.kind for one in scored for edit in one.edits)]
    headlines: list[Headline] = []
    lines: list[TableRow] = []
    for kind in kinds:
        ours = _r2(scored, held, kind, lambda edit: edit.predicted)
        toy = _r2(scored, held, kind, lambda edit: edit.toy)
        if ours is None:
            continue
        lines.append(PredictedKind.of(ours, kind=kind, **interval("toy", toy)))
        if kind == EVERY:
            headlines.append(
                Headline("linear_prediction_r2", ours, "edited margins told from plain caches", bounds=_R2)
            )
        if kind == SHOWN and toy is not None:
            headlines += [
                Headline("linear_prediction_r2_shown", ours, "the same, edits that hide nothing", bounds=_R2),
                Headline("toy_prediction_r2_shown", toy, "the published toy on these edits", bounds=_R2),
            ]
    return headlines, [*lines, *_edits(scored, held)]


def _r2(
    scored: list[Predictions], held: Scorer, kind: str, told: Callable[[EditedCache], float | None]
) -> Estimate | None:
    """Share of the variance, over edits and cases, of how far the margin moves towards the clean side.

    The corrupt prompt's own margin is known to every prediction, so how it differs from case to case is not
    counted. None where not every edit was told, or the measured margins do not vary.
    """
    pairs = [_towards_clean(one, gap, kind, told) for one, gap in zip(scored, held.gap, strict=True)]
    everything = np.concatenate(pairs)
    if not len(everything) or np.ptp(everything[:, 0]) == 0.0 or not all(map(len, pairs)):
        return None
    middle = everything[:, 0].mean()
    spread = np.array([((pair[:, 0] - middle) ** 2).sum() for pair in pairs])
    missed = np.array([((pair[:, 0] - pair[:, 1]) ** 2).sum() for pair in pairs])
    return ratio_of_means(spread - missed, spread, held.families, **held.resampling)


def _towards_clean(
    one: Predictions, gap: float, kind: str, told: Callable[[EditedCache], float | None]
) -> Float[np.ndarray, "edits 2"]:
    """Measured and predicted shifts of the margin by an edit of a kind; positive is towards clean.

    Empty where one of these edits was not told.
    """
    mine = [
        edit for edit in one.edits if kind in (EVERY, edit.kind) or (kind == SHOWN and edit.toy is not None)
    ]
    kept = [
        (_shift(edit, edit.measured, one), _shift(edit, value, one))
        for edit in mine
        if (value := told(edit)) is not None
    ]
    if len(kept) < len(mine):
        return np.zeros((0, 2))
    return (1.0 if gap >= 0.0 else -1.0) * np.array(kept, float).reshape(-1, 2)


def _shift(edit: EditedCache, margin: float, one: Predictions) -> float:
    """How far a margin lies from that of the prompt that was edited."""
    return margin - (one.corrupt if edit.start is None else edit.start)


def _edits(scored: list[Predictions], held: Scorer) -> list[PredictedEdit]:
    """Measured, predicted and the toy's recovery of every edit that all cases have."""
    by_name = [{(edit.kind, edit.edit): edit for edit in one.edits} for one in scored]
    shared = [name for name in by_name[0] if all(name in one for one in by_name)]
    lines = []
    for name in shared:
        mine = [one[name] for one in by_name]
        toys = [edit.toy for edit in mine if edit.toy is not None]
        told = [[edit.measured for edit in mine], [edit.predicted for edit in mine]]
        if len(toys) == len(mine):
            told.append(toys)
        # Shifts of a prompt with one more line count in gaps of the case's own two prompts.
        columns = [
            [
                case.corrupt + _shift(edit, margin, case)
                for case, edit, margin in zip(scored, mine, margins, strict=True)
            ]
            for margins in told
        ]
        measured, predicted, *toy = held.recoveries(np.array(columns).T)
        lines.append(
            PredictedEdit.of(
                measured,
                kind=name[0],
                edit=name[1],
                **interval("predicted", predicted),
                **interval("toy", toy[0] if toy else None),
            )
        )
    return lines
