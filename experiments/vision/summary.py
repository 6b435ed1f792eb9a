"""From what the experiment on pictures measured to its report."""

from collections.abc import Sequence

import numpy as np

from experiments.vision.arms import SAME_POSITION, SWAPPED, Asked
from experiments.vision.counting import agreed, agreement_lines, chosen, counts, used
from experiments.vision.editing import decided, edit_lines, edit_rows
from experiments.vision.measure import Measured, Times
from experiments.vision.settings import VisionSettings
from experiments.vision.tables import FirstTokens
from pkv_interp.records.competence import Competence
from pkv_interp.records.controls import control
from pkv_interp.records.schema import Control, Row
from pkv_interp.run.report import NOT_NEGATIVE, SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean
from pkv_interp.stats.bootstrap import ratio_of_means

#: Tokens of the seam that the headline is about.
SEAM = 4
#: Largest share of answers that a chunk with other pictures may share with the full prefill.
SWAPPED_MOST = 0.6


def summarise(found: Measured, scoring: Scoring[VisionSettings]) -> Report:
    """Estimates, tables and rows of a run."""
    asked, edits = found.asked.all(), found.edits.all()
    gate = _gate(asked, scoring)
    kept = used(asked)
    times = _times(found.times.all(), scoring)
    agreements = [
        (
            "same_position_agreement",
            agreed(chosen(kept, lambda arm: arm.arm == SAME_POSITION), scoring),
            "answers as the full prefill; chunk made after another preface",
        ),
        (
            "shift_agreement",
            agreed(chosen(kept, lambda arm: arm.arm == "moved" and arm.seam == 0), scoring),
            "answers as the full prefill; chunk moved behind a preface",
        ),
        (
            f"seam{SEAM}_agreement",
            agreed(chosen(kept, lambda arm: arm.arm == "moved" and arm.seam == SEAM), scoring),
            "the same, the chunk's first four tokens recomputed",
        ),
        (
            "edit_field_only",
            decided(edits, "field_only", scoring) if "field_only" in scoring.settings.methods else None,
            "edits beside a picture that the field's KV alone decides",
        ),
    ]
    return Report(
        gate=gate,
        headlines=[
            Headline("competence", gate.accuracy, "right answers about held-out pictures", False, SHARE),
            *(
                Headline(name, estimate, what, bounds=SHARE)
                for name, estimate, what in agreements
                if estimate is not None
            ),
            Headline(
                "ttft_ratio",
                times[-1].estimate,
                "full over reuse, time to first token, largest picture",
                needs_gate=False,
                bounds=NOT_NEGATIVE,
            ),
        ],
        tables=[*counts(asked), *agreement_lines(kept, scoring), *edit_lines(edits, scoring), *times],
        rows=[*(row for one in asked for row in _rows(one)), *edit_rows(edits)],
        controls=_controls(kept, gate, scoring),
    )


def _gate(asked: Sequence[Asked], scoring: Scoring[VisionSettings]) -> Competence:
    """Whether the full prefill without a preface is right often enough, in both categories."""

    def right(part: Sequence[Asked]) -> Estimate:
        answers = [one.alone.top_token_right for one in part]
        return mean(answers, [one.kind for one in part], bounds=(0.0, 1.0), **scoring.resampling)

    accuracy = right(asked)
    per_value = {
        category: right([one for one in asked if one.category == category]).value
        for category in dict.fromkeys(one.category for one in asked)
    }
    threshold = scoring.settings.competence_threshold
    return Competence(
        accuracy=accuracy,
        per_value=per_value,
        threshold=threshold,
        passed=not scoring.random_weights and min([accuracy.value, *per_value.values()]) >= threshold,
    )


def _controls(kept: Sequence[Asked], gate: Competence, scoring: Scoring[VisionSettings]) -> list[Control]:
    """With other pictures in the chunk a competent model answers otherwise, so agreement can be missed."""
    swapped = agreed(chosen(kept, lambda arm: arm.arm == SWAPPED), scoring)
    if not gate.passed or swapped is None:
        return []
    detail = f"answers as the full prefill, {swapped.n_instances} chunks with other pictures"
    return [control("swapped_pictures_disagree", swapped.value, 0.0, SWAPPED_MOST, detail)]


def _times(rounds: Sequence[Times], scoring: Scoring[VisionSettings]) -> list[FirstTokens]:
    """Ratios by resolution, over rounds."""
    lines = []
    for at, size in enumerate(rounds[0].sizes):
        part = [one.sizes[at] for one in rounds]
        ratio = ratio_of_means(
            [one.full for one in part],
            [one.reuse for one in part],
            list(range(len(part))),
            **scoring.resampling,
        )
        full, tower, reuse = (
            float(np.median([getattr(one, name) for one in part])) for name in ("full", "tower", "reuse")
        )
        lines.append(
            FirstTokens.of(
                ratio, pixels=size.pixels, tokens=size.tokens, full_ms=full, tower_ms=tower, reuse_ms=reuse
            )
        )
    return lines


def _rows(one: Asked) -> list[Row]:
    return [
        Row(
            family=one.kind,
            split="held_out",
            instance=one.instance,
            wording=one.category,
            arm=f"{arm.arm}-{arm.shift}-{arm.seam}",
            clean=one.full[arm.shift].margin,
            patched=arm.found.answer.margin,
            extra={
                "pictures": one.pictures,
                "gold": one.gold,
                "full": one.full[arm.shift].answer,
                "full_right": one.full[arm.shift].top_token_right,
                "answer": arm.found.answer.answer,
                "kl": arm.found.kl,
            },
        )
        for arm in one.arms
    ]
