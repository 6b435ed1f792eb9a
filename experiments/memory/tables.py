"""Tables of the experiment on memories: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow

#: Parts of the experiment, as they stand in the column ``part``.
PLACEMENT, TRANSPLANT, EDITS, BLOCKS = "placement", "transplant", "edits", "blocks"
REFERENCES, AMOUNTS, WORDINGS, AGENT, INSIDE = "references", "amounts", "wordings", "agent", "inside"


@dataclass(frozen=True)
class GateLine(EstimateRow):
    """Accuracy of the full prefill in one arm of one part, on which the arm's figures depend.

    ``yes`` and ``no`` are accuracies by gold answer. ``passed`` where both reach the threshold and weights
    were trained; ``varied`` where the prefill says both yes and no, without which agreement means nothing.
    """

    table = "gates"
    part: str
    condition: str
    relevant: int
    size: int
    yes: float
    no: float
    threshold: float
    passed: bool
    varied: bool


@dataclass(frozen=True)
class ArmLine(TableRow):
    """One arm: how often it is right, and how often it decides as the full prefill where that is right.

    ``agreement`` is empty where the arm is withheld: the model is not competent there, or decides always
    alike. Distances are those of logits from the full prefill's, over all questions. ``values_right`` is the
    share of settings that were read back as they are; empty where none was.
    """

    table = "arms"
    part: str
    condition: str
    relevant: int
    size: int
    arm: str
    correct: float
    correct_ci_low: float | None
    correct_ci_high: float | None
    agreement: float | None
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    counted: int
    said_yes: float
    values_right: float | None
    top1: float | None
    kl: float | None
    cosine: float | None
    centred_cosine: float | None
    tokens: float
    competent: bool
    n: int
    n_families: int


@dataclass(frozen=True)
class ParityLine(EstimateRow):
    """Accuracy of an arm less that of the full prefill, tested by two one-sided tests against ``margin``.

    The interval is that of the difference at 95 %. Only of arms whose model is competent. Where no persona
    differs, the interval is that of the share of answers that do, and equivalence takes 59 personas.
    """

    table = "parity"
    part: str
    condition: str
    relevant: int
    size: int
    arm: str
    margin: float
    p_value: float
    equivalent: bool


@dataclass(frozen=True)
class McNemarLine(TableRow):
    """McNemar's exact test between two arms.

    Holm's correction is within a part, condition and number of relevant settings. ``first_alone`` counts
    questions on which the first arm alone is right; for cross-references those on which it alone agrees with
    a full prefill that is right.
    """

    table = "tests"
    part: str
    condition: str
    relevant: int
    first: str
    second: str
    first_alone: int
    second_alone: int
    p_value: float
    p_holm: float
    n: int


@dataclass(frozen=True)
class FlipLine(EstimateRow):
    """Share of decisions that a method turns as it toggles a setting that the question is not about.

    They are held against the spliced memory before the edit.
    """

    table = "flips"
    relevant: int
    method: str
    competent: bool


@dataclass(frozen=True)
class ModelLine(TableRow):
    """A term of the logistic model (GEE, clusters are personas) of the full prefill's accuracy, in log odds.

    Without a fit there is one line, and ``undefined`` says why.
    """

    table = "placement_model"
    regime: str
    term: str
    coefficient: float | None
    ci_low: float | None
    ci_high: float | None
    p_value: float | None
    undefined: str
    n: int


@dataclass(frozen=True)
class AgentLine(TableRow):
    """One arm of the conversations of many turns.

    ``success`` is over turns that ask, ``agreement`` over those on which the full prefill is right, and
    ``top1`` over all turns against the full prefill of the same tokens. ``times_faster`` is the full
    prefill's cumulative time to first token over this arm's.
    """

    table = "agent"
    arm: str
    success: float
    success_ci_low: float | None
    success_ci_high: float | None
    agreement: float | None
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    top1: float | None
    centred_cosine: float | None
    times_faster: float
    times_faster_ci_low: float | None
    times_faster_ci_high: float | None
    seconds: float
    tokens: float
    competent: bool
    n: int
    n_families: int


@dataclass(frozen=True)
class TurnLine(TableRow):
    """Mean time to first token and tokens of an arm, summed up to a turn."""

    table = "agent_turns"
    arm: str
    turn: int
    seconds: float
    tokens: float


@dataclass(frozen=True)
class InsideLine(TableRow):
    """Recovery of a method inside a memory, of the way from the old value's margin to the new one's.

    ``prefilled`` of a memory that was prefilled in the conversation, ``spliced`` of one made alone.
    """

    table = "inside"
    relevant: int
    method: str
    prefilled: float
    prefilled_ci_low: float | None
    prefilled_ci_high: float | None
    prefilled_right: float
    spliced: float
    spliced_ci_low: float | None
    spliced_ci_high: float | None
    spliced_right: float
    tokens: float
    competent: bool
    same_tokens: bool
    n: int
    n_families: int


@dataclass(frozen=True)
class CoverageLine(TableRow):
    """Whether a published comparison could be tested in this run, and what stood in the way."""

    table = "could_be_tested"
    headline: str
    tested: bool
    why: str
