"""Which items count, and what is said of the arms on them."""

from collections.abc import Callable, Sequence

import numpy as np

from experiments.vision.arms import Asked, Spliced
from experiments.vision.settings import VisionSettings
from experiments.vision.tables import Agreement, Used
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean


def _right(asked: Sequence[Asked]) -> list[Asked]:
    """Items where every full prefill is right."""
    return [one for one in asked if all(found.top_token_right for found in (one.alone, *one.full.values()))]


def used(asked: Sequence[Asked]) -> list[Asked]:
    """Items where every full prefill is right, of kinds whose right answers vary."""
    right = _right(asked)
    answers: dict[tuple[int, str], set[str]] = {}
    for one in right:
        answers.setdefault((one.pictures, one.kind), set()).add(one.gold)
    return [one for one in right if len(answers[one.pictures, one.kind]) > 1]


def counts(asked: Sequence[Asked]) -> list[Used]:
    """How many of each kind count."""
    kept = used(asked)
    lines = []
    for pictures, kind in dict.fromkeys((one.pictures, one.kind) for one in asked):
        mine = [one for one in asked if (one.pictures, one.kind) == (pictures, kind)]
        right = _right(mine)
        lines.append(
            Used(
                pictures,
                kind,
                len(mine),
                len(right),
                len({one.gold for one in right}),
                sum((one.pictures, one.kind) == (pictures, kind) for one in kept),
            )
        )
    return lines


def chosen(kept: Sequence[Asked], wanted: Callable[[Spliced], bool]) -> list[tuple[Asked, Spliced]]:
    """Arms as wanted, with their items."""
    return [(one, arm) for one in kept for arm in one.arms if wanted(arm)]


def agreed(pairs: Sequence[tuple[Asked, Spliced]], scoring: Scoring[VisionSettings]) -> Estimate | None:
    """Share of arms that answer as the full prefill does; None where there is nothing to count."""
    if not pairs:
        return None
    same = [arm.found.answer.answer == one.full[arm.shift].answer for one, arm in pairs]
    return mean(same, [one.kind for one, _ in pairs], bounds=(0.0, 1.0), **scoring.resampling)


def agreement_lines(kept: Sequence[Asked], scoring: Scoring[VisionSettings]) -> list[Agreement]:
    """One line per arm, shift, seam, number of pictures and category."""
    lines = []
    seen = dict.fromkeys((arm.arm, arm.shift, arm.seam, one.pictures) for one in kept for arm in one.arms)
    for name, shift, seam, pictures in seen:
        for category in ("all", *dict.fromkeys(one.category for one in kept)):
            pairs = chosen(
                [one for one in kept if one.pictures == pictures and category in ("all", one.category)],
                lambda arm, k=(name, shift, seam): (arm.arm, arm.shift, arm.seam) == k,
            )
            estimate = agreed(pairs, scoring)
            if estimate is None:
                continue
            full = float(np.mean([one.full[shift].margin for one, _ in pairs]))
            lines.append(
                Agreement.of(
                    estimate,
                    arm=name,
                    shift=shift,
                    seam=seam,
                    pictures=pictures,
                    category=category,
                    kl=float(np.mean([arm.found.kl for _, arm in pairs])),
                    margin=float(np.mean([arm.found.answer.margin for _, arm in pairs])) / full,
                    run=float(np.mean([arm.found.tokens / one.tokens for one, arm in pairs])),
                )
            )
    return lines
