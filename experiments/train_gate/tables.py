"""Tables of the gate adapter's training: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Accuracy(EstimateRow):
    """Share of right decisions in one condition, on one side of the field."""

    table = "accuracy"
    condition: str
    side: str
    tokens: float


@dataclass(frozen=True)
class MechanismStep(EstimateRow):
    """Recovery in one cache state after a training step, and accuracy on both sides of all pairs."""

    table = "mechanism_by_step"
    step: int
    arm: str
    accuracy: float


@dataclass(frozen=True)
class ChatLoss(TableRow):
    """Mean cross-entropy of held-out replies, in nats per token."""

    table = "chat_loss"
    base: float
    adapted: float
    ratio: float
    n_chats: int


@dataclass(frozen=True)
class GoalReached(TableRow):
    """What the adapter should be able to do, and whether it is.

    Attributes:
        name: of the goal.
        side: of the field, or ``both`` where the goal is about all prompts.
        goal: threshold; ``at_most`` says on which side of it the value should be.
    """

    table = "goals"
    name: str
    side: str
    goal: float
    at_most: bool
    value: float
    reached: bool


@dataclass(frozen=True)
class KindStep(TableRow):
    """Accuracy of one kind of example of a course in one step of its training."""

    table = "history_by_kind"
    step: int
    kind: str
    accuracy: float


@dataclass(frozen=True)
class PatternStep(EstimateRow):
    """Share of right decisions on edits of held-out families after a training step, by pattern and place.

    Attributes:
        arm: ``full``, ``full_isolated`` (with the course's links), ``full_rule_linked`` or ``field_only``;
            after ``read_`` one of these, but for the third, with the field read back first. Of a reader
            ``full`` and ``field_only``, with its adapter where it was trained to act.
        place: of the field.
        read: share of values that were read back right; None where none is read.
    """

    table = "pattern_by_step"
    step: int
    arm: str
    place: str
    read: float | None = None


@dataclass(frozen=True)
class TrainingStep(TableRow):
    """Loss of one step, and the accuracy of each kind of example that it trained on."""

    table = "history"
    step: int
    loss: float
    chat_loss: float
    accuracy_plain: float | None = None
    accuracy_late: float | None = None
    accuracy_update: float | None = None
    accuracy_several: float | None = None
    accuracy_reverted: float | None = None
    accuracy_other_update: float | None = None
