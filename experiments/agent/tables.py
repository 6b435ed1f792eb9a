"""Tables of the agent experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow

#: Layouts by whether the session block with the field comes after the policy.
LAYOUTS = {True: "state after the policy", False: "state before the policy"}


@dataclass(frozen=True)
class PhaseShare(EstimateRow):
    """Share of turns at which an arm succeeds, or agrees with the full arm, by what happened to the state."""

    table = "phases"
    arm: str
    quantity: str
    phase: str


@dataclass(frozen=True)
class TurnShare(EstimateRow):
    """The same by turn, counted from 1."""

    table = "by_turn"
    arm: str
    quantity: str
    turn: int


@dataclass(frozen=True)
class Cost(EstimateRow):
    """Milliseconds to the first token of each turn, summed up to a turn (from 1), and mean tokens run."""

    table = "cost"
    arm: str
    turn: int
    tokens: float


@dataclass(frozen=True)
class Speed(EstimateRow):
    """By how many times an arm is cheaper than the full one, in ``seconds`` or ``tokens`` (``what``)."""

    table = "speed"
    arm: str
    what: str


@dataclass(frozen=True)
class ArmPair(EstimateRow):
    """Two arms in one layout and phase: success of the first less that of the second, and their costs.

    ``p_holm`` is adjusted over the pairs of the layout and phase. ``families_above`` and ``families_below``
    count families in which the first arm succeeds more or less often. Ratios are of the second arm's cost
    over the first's, of whole episodes: above 1 the first is cheaper. ``dominates`` names the arm that
    dominates the other, as `compared.dominating` has it.
    """

    table = "pairs"
    layout: str
    phase: str
    first: str
    second: str
    p_value: float
    p_holm: float
    families_above: int
    families_below: int
    seconds_ratio: float
    seconds_ratio_ci_low: float | None
    seconds_ratio_ci_high: float | None
    tokens_ratio: float
    tokens_ratio_ci_low: float | None
    tokens_ratio_ci_high: float | None
    dominates: str | None


@dataclass(frozen=True)
class Design(TableRow):
    """What stands beside the figures: balance of menus and values, sizes, and what the chunk cost once."""

    table = "design"
    episodes: int
    turns: int
    right_action_first_in_menu: float
    value_is_trigger: float
    changes_back: int
    policy_tokens: float
    prompt_tokens_last_turn: float
    chunk_setup_ms: float


@dataclass(frozen=True)
class LayoutShare(EstimateRow):
    """As `PhaseShare`, of the episodes that were run in both layouts."""

    table = "layouts"
    layout: str
    arm: str
    quantity: str
    phase: str
