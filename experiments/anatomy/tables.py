"""Tables of the anatomy experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class PartLine(EstimateRow):
    """Recovery with keys, values or both of a group of notes put in, in a band of layers.

    ``random`` notes are as many as the action words, and none of these.
    """

    table = "parts"
    group: str
    part: str
    band: str
    positions: float


@dataclass(frozen=True)
class WordLine(EstimateRow):
    """What the decision follows of a donor with the same, exchanged or other words: the role or the word.

    ``role``: the shift of the base's own margin, over the base's gap. ``word``: the shift of the margin of
    the donor's words, over the donor's gap.
    """

    table = "words"
    donor: str
    group: str
    part: str
    follows: str


@dataclass(frozen=True)
class DonorLine(EstimateRow):
    """Donors of a kind: their own gap in logits, and how often the model is right on both sides."""

    table = "donors"
    donor: str
    right: float


@dataclass(frozen=True)
class PathLine(EstimateRow):
    """Share of the gap that is left with paths closed, and right decisions.

    ``how``: ``closed``, ``only`` (of the paths to the field this one alone is open) or ``random`` (another
    span in place of the field).
    """

    table = "paths"
    how: str
    path: str
    clean_right: float
    corrupt_right: float


@dataclass(frozen=True)
class HeadSet(EstimateRow):
    """Recovery with heads' outputs (``both``), patterns or values put in at the decision."""

    table = "head_sets"
    arm: str
    what: str
    k: int


@dataclass(frozen=True)
class HeadLine(TableRow):
    """One head: its rank on discovery families; on held-out ones its recoveries and where it looks."""

    table = "heads"
    layer: int
    head: int
    rank: int
    both: float
    pattern: float
    values: float
    attention_notes: float
    attention_field: float
    attention_moved: float


@dataclass(frozen=True)
class AttentionLine(EstimateRow):
    """Rank correlation over heads of what they look at with what they do.

    ``moved`` is the attention that lies elsewhere in one prompt than in the other; its effect is taken
    without its sign.
    """

    table = "attention"
    attention: str
    effect: str


@dataclass(frozen=True)
class PredictedKind(EstimateRow):
    """R squared of shifts told from plain caches, by kind of edit, and of the toy where it tells all."""

    table = "predicted_kinds"
    kind: str
    toy: float | None
    toy_ci_low: float | None
    toy_ci_high: float | None


@dataclass(frozen=True)
class PredictedEdit(EstimateRow):
    """Recovery by one edit: measured (``value``), told from plain caches, and by the published toy."""

    table = "predicted_edits"
    kind: str
    edit: str
    predicted: float | None
    predicted_ci_low: float | None
    predicted_ci_high: float | None
    toy: float | None
    toy_ci_low: float | None
    toy_ci_high: float | None
