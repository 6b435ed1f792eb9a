"""Tables of the picture model's training: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Accuracy(EstimateRow):
    """Share of right answers of one kind under one condition.

    Attributes:
        condition: one picture or two, with a preface or without, or with a field.
        kind: what is asked; ``all`` for all kinds together.
        shown: ``own`` pictures, ``grey`` ones, or those of an ``other`` question.
        constant: what the best answer that never looks would score.
    """

    table = "accuracy"
    condition: str
    kind: str
    shown: str
    constant: float


@dataclass(frozen=True)
class GoalReached(TableRow):
    """What the model should be able to do, and whether it is."""

    table = "goals"
    name: str
    goal: float
    value: float
    reached: bool


@dataclass(frozen=True)
class TrainingSteps(TableRow):
    """Means over some steps of the training.

    Attributes:
        step: the last of them.
        loss: of the answers, in nats; None while the tower alone is trained.
        cell_loss: of what the tower tells of each cell.
        cell: share of things whose shape and colour the tower's tokens tell.
        answers: share of right answers.
        named: share of words that tell row and column of the thing that they name; None while none was asked.
        ordered: share of tokens that tell which of two pictures they are about, of those that are asked.
    """

    table = "history"
    step: int
    loss: float | None
    cell_loss: float
    cell: float
    answers: float | None
    named: float | None = None
    ordered: float | None = None
