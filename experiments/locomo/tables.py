"""Tables of the experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow

#: In the column ``category``: categories 1 to 4 together.
ALL = "1-4"


@dataclass(frozen=True)
class ArmLine(TableRow):
    """Answers of an arm, over one category or all of them but the adversarial one.

    ``right`` is by containment or a token F1 of 0.5; ``right_published`` counts an answer that stands in the
    gold one as well. ``same_text`` is the share of answers that are token for token the full prefill's.
    """

    table = "answers"
    arm: str
    category: str
    f1: float
    f1_ci_low: float | None
    f1_ci_high: float | None
    right: float
    right_ci_low: float | None
    right_ci_high: float | None
    right_published: float
    right_published_ci_low: float | None
    right_published_ci_high: float | None
    same_text: float
    same_text_ci_low: float | None
    same_text_ci_high: float | None
    answer_tokens: float
    n: int
    n_families: int


@dataclass(frozen=True)
class AgreementLine(TableRow):
    """The logits of the answer's first token under an arm, against those of the full prefill."""

    table = "agreement"
    arm: str
    top1: float
    top1_ci_low: float | None
    top1_ci_high: float | None
    kl: float
    kl_ci_low: float | None
    kl_ci_high: float | None
    cosine: float
    centred_cosine: float
    largest: float
    n: int
    n_families: int


@dataclass(frozen=True)
class ParityLine(EstimateRow):
    """An arm less the full prefill, paired by question, tested by two one-sided tests against ``margin``.

    The interval is that of the difference at 95 %, that of the test at 90 %. A single conversation has
    neither, and no test; of two there is one degree of freedom. Two arms that are always wrong are equal as
    well: ``sensitive`` where the answers without a history lie more than the margin below those of the full
    prefill, and ``equivalent`` only where they do.
    """

    table = "parity"
    arm: str
    quantity: str
    margin: float
    ci90_low: float | None
    ci90_high: float | None
    p_value: float | None
    sensitive: bool
    equivalent: bool | None


@dataclass(frozen=True)
class CostLine(TableRow):
    """What an arm takes until a conversation's history is in its cache, summed over conversations.

    ``once`` is of the sessions made apart: tokens and seconds that later conversations need not pay.
    """

    table = "costs"
    arm: str
    tokens: int
    seconds: float
    once_tokens: int
    once_seconds: float
    full_over_this: float


@dataclass(frozen=True)
class HistoryLine(TableRow):
    """A conversation: the sessions that were read, of how many, and the questions that were asked of them."""

    table = "histories"
    conversation: str
    sessions: int
    of_sessions: int
    tokens: int
    asked: int
    answerable: int
