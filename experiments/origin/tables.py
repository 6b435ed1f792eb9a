"""Tables of the experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Accuracy(EstimateRow):
    """Share of right decisions under an arrangement; ``seed`` is None where it is over all seeds.

    ``side`` is ``both``, ``match`` or ``mismatch``: whether the field has the trigger's value; ``place`` is
    where the field stands, before the rule or after it.
    """

    table = "accuracy"
    role: str
    writer: str
    reader: str
    curriculum: str | None
    seed: int | None
    n_seeds: int
    side: str
    place: str = "early"


@dataclass(frozen=True)
class Recovery(EstimateRow):
    """Recovery of one part of the cache under an arrangement; ``seed`` is None where it is over all seeds.

    ``changed`` is the span in which pairs differ; with ``_late``, in prompts that have the field after the
    rule. ``sd_seeds`` is the standard deviation over seeds.
    """

    table = "recovery"
    role: str
    writer: str
    reader: str
    curriculum: str | None
    seed: int | None
    n_seeds: int
    changed: str
    arm: str
    sd_seeds: float | None


@dataclass(frozen=True)
class Locus(EstimateRow):
    """Recovery of all notes of one kind of token, over all seeds of an arrangement."""

    table = "locus"
    role: str
    writer: str
    reader: str
    curriculum: str | None
    n_seeds: int
    kind: str
    positions_per_prompt: float
    changed: str = "field"


@dataclass(frozen=True)
class TrainingStep(TableRow):
    """Loss of one step, and the accuracy of each kind of example that it trained on."""

    table = "history"
    arrangement: str
    step: int
    loss: float
    accuracy_plain: float | None = None
    accuracy_late: float | None = None
