"""Tables of the composing experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class ArmColumns(TableRow):
    """One arm over scenes: distances from the full prefill, and agreement where that is right on both sides.

    Attributes:
        tokens, chunk, moved: of the prompt, of all that is moved, and positions by which the first chunk is
            moved; means over scenes.
        recomputed: share of the chunks' tokens that a repair runs again.
        right: share of prompts that are decided rightly.
        counted: prompts that agreement and ``top1`` rest on.
    """

    tokens: float
    chunk: float
    moved: float
    arm: str
    kl: float
    kl_ci_low: float | None
    kl_ci_high: float | None
    margin_error: float
    margin_error_ci_low: float | None
    margin_error_ci_high: float | None
    top1: float | None
    top1_ci_low: float | None
    top1_ci_high: float | None
    agreement: float | None
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    recomputed: float
    right: float
    cosine: float
    centred_cosine: float
    counted: int
    near_ties: int
    n: int
    n_families: int


@dataclass(frozen=True)
class Fidelity(ArmColumns):
    """An arm in a condition."""

    table = "fidelity"
    condition: str


@dataclass(frozen=True)
class CompetenceColumns(TableRow):
    """Whether the full prefill does the task on these scenes: two-way accuracy by side."""

    full_match: float
    full_mismatch: float
    competent: bool
    gold_first_in_menu: float


@dataclass(frozen=True)
class Condition(CompetenceColumns):
    """What is moved where, and whether the full prefill does the task there."""

    table = "conditions"
    condition: str
    blocks: str
    field_after_rule: bool | None
    place: str


@dataclass(frozen=True)
class CurveArm(ArmColumns):
    """An arm at one point of a curve, and whether the full prefill does the task there."""

    table = "curves"
    curve: str
    size: int
    full_match: float
    full_mismatch: float
    competent: bool
    gold_first_in_menu: float


@dataclass(frozen=True)
class LeftOut(TableRow):
    """A size of a setting that was not measured: the model serves fewer positions."""

    table = "left_out"
    what: str
    size: int
    positions: int


@dataclass(frozen=True)
class Calls(EstimateRow):
    """Share of requests whose function call is right (the estimate), and of those with a call at all."""

    table = "tool_calls"
    arm: str
    parsed: float
    n: int


@dataclass(frozen=True)
class CallSetup(TableRow):
    """Whether the full prefill passes the gate on calls, and how often the transplant makes the same call."""

    table = "tool_setup"
    competent: bool
    agreement: float | None
    counted: int
    example: str
    most_tokens: int


@dataclass(frozen=True)
class WindowCause(EstimateRow):
    """KL of a transplant from the full prefill with some of three causes handled."""

    table = "diagnosis"
    model: str
    sink: bool
    rope_per_layer: bool
    window: bool


@dataclass(frozen=True)
class FirstToken(TableRow):
    """Seconds to the first token at one prompt length, and full over composed."""

    table = "time"
    length: int
    full: float
    full_ci_low: float | None
    full_ci_high: float | None
    composed: float
    composed_ci_low: float | None
    composed_ci_high: float | None
    ratio: float
    ratio_ci_low: float | None
    ratio_ci_high: float | None
    n_families: int
    n_instances: int
    suffix: int
