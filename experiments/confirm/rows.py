"""One row of the record per instance and arm."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.confirm.about import About, right_on_both
from experiments.confirm.found import Scores
from experiments.confirm.pairs import PairScores
from experiments.confirm.screening import Tries
from pkv_interp.measure.competence import Decision
from pkv_interp.records.schema import Row

SPLIT = "confirm"


def tried_rows(tried: Mapping[str, Tries]) -> list[Row]:
    """Unpatched decisions, by kind of pair; both margins are towards the first action.

    Of a quad they are those of its first polarity pair; whether it is right is told of all four prompts.
    """
    return [
        _row(
            one.about,
            f"{kind}/unpatched",
            one.decisions,
            extra={"used": used},
            clean=one.decisions[0].margin,
            corrupt=-one.decisions[1].margin,
        ).model_copy(update={"split": one.split})
        for kind, mine in tried.items()
        for one, used in zip(mine.found, mine.used, strict=True)
    ]


def score_rows(scores: Scores) -> list[Row]:
    """Every arm of every part."""
    rows = [*_pairs("field", scores.field), *_pairs("polarity", scores.polarity)]
    for quad in scores.quads:
        margins = {"clean": quad.clean, "corrupt": quad.corrupt}
        for claim, (clean, corrupt) in quad.moved.items():
            told = {"moved_clean": clean, "moved_corrupt": corrupt, "present": quad.present}
            rows.append(_row(quad.about, f"quad/{claim}", quad.decisions, **margins, extra=told))
    for edit in scores.edits:
        rows += [_row(edit.about, f"edit/{arm}", edit.decisions, patched=m) for arm, m in edit.arms.items()]
    for place, moved in (("before", scores.moved_late), ("after", scores.moved)):
        for one in moved:
            for i, side in enumerate(("match", "mismatch")):
                arm = f"policy {place} the field/{side}"
                rows.append(_row(one.about, arm, one.decisions, clean=one.full[i], patched=one.spliced[i]))
    for episode in scores.episodes:
        for arm, turns in episode.arms.items():
            told = {
                "turns": len(turns.right),
                "right": int(turns.right.sum()),
                "tokens_run": int(turns.tokens.sum()),
                "ttft_ms": float(turns.ms.sum()),
            }
            rows.append(_row(episode.about, f"episode/{arm}", episode.decisions, extra=told))
    return rows


def _pairs(kind: str, pairs: Sequence[PairScores]) -> list[Row]:
    return [
        _row(one.about, f"{kind}/{arm}", one.decisions, clean=one.clean, corrupt=one.corrupt, patched=margin)
        for one in pairs
        for arm, margin in one.arms.items()
    ]


def _row(
    about: About,
    arm: str,
    decisions: Sequence[Decision],
    extra: Mapping[str, Any] | None = None,
    **margins: float,
) -> Row:
    return Row(
        family=about.family,
        split=SPLIT,
        instance=about.instance,
        wording=about.wording,
        arm=arm,
        extra={"layout": about.layout, "right_on_both": right_on_both(decisions), **(extra or {})},
        **margins,
    )
