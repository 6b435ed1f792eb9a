"""Tables of the patching experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class States(EstimateRow):
    """Recovery by cache state, and how often the new value's action is chosen."""

    table = "states"
    arm: str
    decides_new: float
    decides_new_ci_low: float | None
    decides_new_ci_high: float | None


@dataclass(frozen=True)
class KCurve(EstimateRow):
    """Recovery of the k best positions (``top``), or of random ones that resemble them.

    ``matched`` is the mean share of a random set that is of the strata of the best k.
    """

    table = "k_curve"
    curve: str
    k: int
    matched: float | None


@dataclass(frozen=True)
class ShareCurve(EstimateRow):
    """Recovery of a share of the notes, from their end (``suffix``) or from their start (``prefix``)."""

    table = "share_curve"
    curve: str
    share: float


@dataclass(frozen=True)
class K90(EstimateRow):
    """How many positions, best first, reach 0.9 of the recovery, in the mean over instances.

    ``pooled_curve`` is where the curve of pooled recoveries reaches it; ``ranked_positions`` the share of
    positions whose anchor the ranking knows.
    """

    table = "k90"
    pooled_curve: int | None
    never_reached: float
    positions: float
    ranked_positions: float


@dataclass(frozen=True)
class RankCurve(TableRow):
    """Pooled recovery of the k best positions, for every k."""

    table = "rank_curve"
    k: int
    value: float


@dataclass(frozen=True)
class Layer(EstimateRow):
    """All notes patched in one layer: keys, values or both; adjusted over layers."""

    table = "layers"
    layer: int
    part: str
    p_adjusted: float | None


@dataclass(frozen=True)
class Position(EstimateRow):
    """Mean single-position recovery of a label that all instances have; adjusted over labels."""

    table = "positions"
    label: str
    part: str
    p_adjusted: float | None


@dataclass(frozen=True)
class TokenKind(EstimateRow):
    """Single-position recoveries summed by region of the prompt."""

    table = "token_kinds"
    kind: str
    positions_per_prompt: float


@dataclass(frozen=True)
class TokenClass(EstimateRow):
    """Single-position recoveries summed by kind of token."""

    table = "token_classes"
    token_class: str
    positions_per_prompt: float


@dataclass(frozen=True)
class KnockoutSpan(EstimateRow):
    """Share of the gap that is left, and right decisions, when the decision may not look at a span."""

    table = "knockout_spans"
    knockout: str
    clean_right: float
    corrupt_right: float


@dataclass(frozen=True)
class KnockoutShare(EstimateRow):
    """The same for the first share of the notes in an order."""

    table = "knockout_shares"
    knockout: str
    share: float
    clean_right: float
    corrupt_right: float


@dataclass(frozen=True)
class PathLine(EstimateRow):
    """Share of the gap that is left, and right decisions, with a path closed.

    ``random`` closes ``notes_field`` with another span in place of the field.
    """

    table = "paths"
    path: str
    clean_right: float
    corrupt_right: float


@dataclass(frozen=True)
class GridRegion(EstimateRow):
    """Single cells summed over a region, in one layer; adjusted over layers and regions."""

    table = "grid_regions"
    layer: int
    region: str
    part: str
    p_adjusted: float | None


@dataclass(frozen=True)
class GridCost(TableRow):
    """What one instance's grid took."""

    table = "grid_cost"
    instance: str
    part: str
    tokens: int
    rows: int
    seconds: float


@dataclass(frozen=True)
class GridExample(TableRow):
    """One layer of one instance's grid; the first line also holds the words and their kinds."""

    table = "grid_example"
    instance: str
    part: str
    layer: int
    recovery: list[float]
    tokens: list[str]
    kinds: list[str]


@dataclass(frozen=True)
class DoseResponse(EstimateRow):
    """Recovery by cache state at one prompt length, or one number of statements of the rule."""

    table = "dose"
    what: str
    amount: int
    arm: str
    tokens: float
    gap: float
    two_way_right: float
    decides_new: float


@dataclass(frozen=True)
class FieldPlace(EstimateRow):
    """Recovery by cache state with the field at one place of the prompt.

    ``to_rule`` and ``to_decision`` are mean tokens from the field to the value that the rule names, below 0
    where the rule comes first, and to the decision.
    """

    table = "field_places"
    place: str
    arm: str
    to_rule: float
    to_decision: float
    gap: float
    two_way_right: float
    decides_new: float


@dataclass(frozen=True)
class ChainSetup(TableRow):
    """How chains of thought were asked for, and whether the model can do it."""

    table = "cot_setup"
    prompt: str
    decoding: str
    most_tokens: int
    n: int
    competent: bool
    answers_with_an_action: float
    oracle_right: float
    stale_right: float


@dataclass(frozen=True)
class ChainState(EstimateRow):
    """Decisions after a chain from one cache state; the estimate is of the named quantity."""

    table = "cot"
    state: str
    recovery: float | None
    quantity: str
    no_downstream: float
    no_chain: float | None
    tokens: float
    truncated: float
    competent: bool
    example: str
