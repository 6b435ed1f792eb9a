"""From what the picture model's training measured to its report."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from experiments.train_vision.judging import Answered
from experiments.train_vision.measure import Measured
from experiments.train_vision.settings import TrainVisionSettings
from experiments.train_vision.tables import Accuracy, GoalReached, TrainingSteps
from pkv_interp.measure.picture_answers import PictureAnswer
from pkv_interp.records.controls import control
from pkv_interp.records.schema import Control, Row
from pkv_interp.run.report import SHARE, Headline, Report
from pkv_interp.run.scoring import Scoring
from pkv_interp.stats import Estimate, mean

#: Share of right answers that the model should reach on held-out pictures.
GOAL = 0.95
#: What a model that does not see the picture may score above the best answer that never looks.
UNSEEN = 0.15
#: Steps whose means make a line of the history.
_EVERY = 50
_SHOWN: dict[str, Callable[[Answered], PictureAnswer]] = {
    "own": lambda one: one.own,
    "grey": lambda one: one.grey,
    "other": lambda one: one.other,
}
#: Headlines: the answers that they pool, and what they are.
_HEADLINES: dict[str, tuple[Callable[[Answered], bool], str]] = {
    "accuracy": (lambda a: a.condition == "one", "right answers about one held-out picture"),
    "accuracy_two": (lambda a: a.condition == "two", "right answers about one of two pictures"),
    "accuracy_preface": (lambda a: a.condition.startswith("preface"), "right answers after a preface"),
    "accuracy_field": (lambda a: a.condition.startswith("field"), "right answers by a field's value"),
}


def summarise(found: Measured, scoring: Scoring[TrainVisionSettings]) -> Report:
    """Estimates, tables and rows. There is no competence gate: competence is the finding itself."""
    answers = found.answers.all()
    headlines = [
        Headline(name, _right([a for a in answers if of(a)], "own", scoring), what, False, SHARE)
        for name, (of, what) in _HEADLINES.items()
    ]
    return Report(
        headlines=headlines,
        tables=[
            *_accuracies(answers, scoring),
            *(
                GoalReached(one.name, GOAL, one.estimate.value, one.estimate.value >= GOAL)
                for one in headlines
            ),
            *_history(found.history),
        ],
        rows=[_row(answer) for answer in answers],
        controls=_controls(answers),
    )


def _right(part: Sequence[Answered], shown: str, scoring: Scoring[TrainVisionSettings]) -> Estimate:
    right = [_SHOWN[shown](a).top_token_right for a in part]
    return mean(right, [a.kind for a in part], bounds=(0.0, 1.0), **scoring.resampling)


def constant(part: Sequence[Answered]) -> float:
    """What the best answer that never looks would score: the commonest answer of each kind."""
    hits = 0
    for kind in {a.kind for a in part}:
        hits += Counter(a.gold for a in part if a.kind == kind).most_common(1)[0][1]
    return hits / len(part)


def _controls(answers: Sequence[Answered]) -> list[Control]:
    """Without the picture in sight, answers fall to what can be said without looking."""
    made = []
    for shown in ("grey", "other"):
        blind = [_SHOWN[shown](a).top_token_right for a in answers if a.condition == "one"]
        known = constant([a for a in answers if a.condition == "one"])
        above = max(0.0, float(np.mean(blind)) - known)
        detail = f"right answers above the best constant one ({known:.2f}), {len(blind)} questions"
        made.append(control(f"{shown}_picture_tells_nothing", above, 0.0, UNSEEN, detail))
    return made


def _accuracies(answers: Sequence[Answered], scoring: Scoring[TrainVisionSettings]) -> list[Accuracy]:
    lines = []
    for condition in dict.fromkeys(a.condition for a in answers):
        mine = [a for a in answers if a.condition == condition]
        for kind in ("all", *dict.fromkeys(a.kind for a in mine)):
            part = [a for a in mine if kind in ("all", a.kind)]
            for shown in _SHOWN:
                estimate = _right(part, shown, scoring)
                lines.append(
                    Accuracy.of(
                        estimate, condition=condition, kind=kind, shown=shown, constant=constant(part)
                    )
                )
    return lines


def _history(steps: Sequence[dict[str, float]]) -> list[TrainingSteps]:
    """Means over some steps each; answers of all kinds count alike."""
    lines = []
    for start in range(0, len(steps), _EVERY):
        part = steps[start : start + _EVERY]
        losses, named, ordered = (
            [one[name] for one in part if name in one] for name in ("loss", "told_name", "told_order")
        )
        shares = [
            value
            for one in part
            for name, value in one.items()
            if name.startswith("accuracy_") and name != "accuracy_cell"
        ]
        lines.append(
            TrainingSteps(
                start + len(part),
                _mean(losses),
                float(np.mean([one["cell_loss"] for one in part])),
                float(np.mean([one["accuracy_cell"] for one in part])),
                _mean(shares),
                _mean(named),
                _mean(ordered),
            )
        )
    return lines


def _mean(values: Sequence[float]) -> float | None:
    """Their mean; None of none."""
    return float(np.mean(values)) if values else None


def _row(answer: Answered) -> Row:
    return Row(
        family=answer.kind,
        split="held_out",
        instance=answer.instance,
        wording=answer.category,
        arm=answer.condition,
        clean=answer.own.margin,
        extra={
            "right": answer.own.right,
            "top_token_right": answer.own.top_token_right,
            "answer": answer.own.answer,
            "gold": answer.gold,
            "grey": answer.grey.top_token_right,
            "other": answer.other.top_token_right,
        },
    )
