"""From what the gate adapter's training measured to its report."""

from collections.abc import Mapping, Sequence
from dataclasses import fields

import numpy as np

from experiments.train_gate.goals import goals
from experiments.train_gate.judging import Answer, CacheStates
from experiments.train_gate.measure import Measured
from experiments.train_gate.settings import TrainGateSettings
from experiments.train_gate.tables import (
    Accuracy,
    ChatLoss,
    KindStep,
    MechanismStep,
    PatternStep,
    TrainingStep,
)
from experiments.train_gate.under_pattern import PatternMargins
from pkv_interp.records.schema import Row
from pkv_interp.records.tables import TableRow
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean
from pkv_interp.stats.recovery import recovery

#: Headlines of accuracy: the conditions that they pool by how those begin, and what they are.
ACCURACIES = {
    "accuracy": ("length-", "right decisions, all prompt lengths"),
    "accuracy_field_late": ("field-late", "right decisions, field after the rule"),
    "accuracy_updates": ("update-", "right decisions after an update of the field"),
    "accuracy_reverted": ("reverted-", "right decisions after an update that is taken back"),
    "accuracy_unrelated_update": ("unrelated", "right decisions after an update of another field"),
    "accuracy_near_update": ("near-", "right decisions after an update of a field named alike"),
    "accuracy_unseen_layout": ("layout-", "right decisions in a layout never trained on"),
    "accuracy_no_template": ("no-template", "right decisions without the chat template"),
}
#: Cache states of each kind of pair: what is refreshed.
STATES = {
    "field_only": ("field", "KV of the field alone"),
    "field_notes_only": ("field", "KV after the field alone"),
    "trigger_only": ("trigger", "KV of the flipped trigger alone"),
    "trigger_notes_only": ("trigger", "KV after the trigger alone"),
}


def summarise(found: Measured, scoring: Scoring[TrainGateSettings]) -> Report:
    """Estimates, tables and rows of a run. There is no competence gate: competence is the finding itself."""
    answers = found.answers.prompts
    by_step = {
        step: {arm: _recovery(measured.pairs, arm, scoring) for arm in STATES}
        for step, measured in found.mechanism.items()
    }
    last = by_step[scoring.settings.steps]
    return Report(
        headlines=[
            *(
                Headline(
                    name,
                    _accuracy([a for a in answers if a.condition.startswith(begin)], scoring),
                    what,
                    needs_gate=False,
                    bounds=SHARE,
                )
                for name, (begin, what) in ACCURACIES.items()
            ),
            *(Headline(arm, last[arm], f"{what}, after the last step") for arm, (_, what) in STATES.items()),
        ],
        tables=[
            *_accuracies(answers, scoring),
            *(
                MechanismStep.of(estimate, step=step, arm=arm, accuracy=_right(found.mechanism[step].pairs))
                for step, estimates in by_step.items()
                for arm, estimate in estimates.items()
            ),
            ChatLoss(
                found.chat.base,
                found.chat.adapted,
                found.chat.adapted / found.chat.base,
                found.chat.n_chats,
            ),
            *goals(answers, found.chat.adapted / found.chat.base),
            *_history(found.history),
            *_patterns(found.patterns, scoring),
        ],
        rows=[_row(answer) for answer in answers],
    )


def _accuracy(answers: Sequence[Answer], scoring: Scoring[TrainGateSettings]) -> Estimate:
    return mean(
        [a.right for a in answers], [a.family for a in answers], bounds=(0.0, 1.0), **scoring.resampling
    )


def _accuracies(answers: Sequence[Answer], scoring: Scoring[TrainGateSettings]) -> list[Accuracy]:
    lines = []
    for condition in dict.fromkeys(a.condition for a in answers):
        for match in (True, False):
            part = [a for a in answers if a.condition == condition and a.match is match]
            lines.append(
                Accuracy.of(
                    _accuracy(part, scoring),
                    condition=condition,
                    side="match" if match else "mismatch",
                    tokens=float(np.mean([a.tokens for a in part])),
                )
            )
    return lines


def _recovery(pairs: Sequence[CacheStates], arm: str, scoring: Scoring[TrainGateSettings]) -> Estimate:
    """Recovery of one cache state over the pairs of its kind."""
    part = [pair for pair in pairs if pair.changed == STATES[arm][0]]
    return recovery(
        [pair.notes_only if arm.endswith("notes_only") else pair.changed_only for pair in part],
        [pair.clean for pair in part],
        [pair.corrupt for pair in part],
        [pair.family for pair in part],
        noise_floor=scoring.floor,
        **scoring.resampling,
    ).estimate


def _right(pairs: Sequence[CacheStates]) -> float:
    """Share of right decisions over both prompts of all pairs."""
    return float(np.mean([(pair.clean > 0, pair.corrupt < 0) for pair in pairs]))


def _row(answer: Answer) -> Row:
    return Row(
        family=answer.family,
        split="held_out",
        instance=answer.instance,
        wording=answer.wording,
        arm=answer.condition,
        clean=answer.margin,
        extra={
            "right": answer.right,
            "top_token_right": answer.top_token_right,
            "match": answer.match,
            "tokens": answer.tokens,
        },
    )


def _history(steps: Sequence[Mapping[str, float]]) -> list[TableRow]:
    """Each step; accuracies of kinds that the gate's own lessons have not are lines of their own."""
    own = {field.name for field in fields(TrainingStep)}
    lines: list[TableRow] = []
    for step, values in enumerate(steps, start=1):
        lines.append(TrainingStep(step, **{name: value for name, value in values.items() if name in own}))
        lines += [
            KindStep(step, name.removeprefix("accuracy_"), value)
            for name, value in values.items()
            if name not in own
        ]
    return lines


def _patterns(
    found: Mapping[int, Sequence[PatternMargins]], scoring: Scoring[TrainGateSettings]
) -> list[PatternStep]:
    """Right decisions by step, pattern and place of the field."""
    lines = []
    for step, edits in found.items():
        for place in dict.fromkeys(one.place for one in edits):
            part = [one for one in edits if one.place == place]
            for arm in dict.fromkeys(arm for one in part for arm in one.margins):
                right = [one.margins[arm] > 0 for one in part]
                estimate = mean(right, [one.family for one in part], bounds=(0.0, 1.0), **scoring.resampling)
                values = [one.read[arm] for one in part if arm in one.read]
                read = float(np.mean(values)) if values else None
                lines.append(PatternStep.of(estimate, step=step, arm=arm, place=place, read=read))
    return lines
