"""Tables of the editing experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Frontier(TableRow):
    """What a method decides (intervals over families) and what it costs; latency is the median."""

    table = "frontier"
    method: str
    p_correct: float
    p_correct_ci_low: float | None
    p_correct_ci_high: float | None
    kl: float
    kl_ci_low: float | None
    kl_ci_high: float | None
    margin_error: float
    margin_error_ci_low: float | None
    margin_error_ci_high: float | None
    recompute_share: float
    recompute_share_ci_low: float | None
    recompute_share_ci_high: float | None
    tokens: float
    latency_ms: float
    latency_ms_quartile_low: float
    latency_ms_quartile_high: float
    prompt_surgery: bool
    setup_tokens: float
    n_instances: int
    n_families: int
    latency_ratio: float | None = None
    latency_ratio_ci_low: float | None = None
    latency_ratio_ci_high: float | None = None


@dataclass(frozen=True)
class FrontierByPlace(EstimateRow):
    """P(correct) of a method by place of the field, and the means of its other measures there."""

    table = "frontier_by_place"
    method: str
    place: str
    context: float
    distance: float
    kl: float
    margin_error: float
    tokens: float
    share: float
    latency_ms: float


@dataclass(frozen=True)
class FrontierByLength(FrontierByPlace):
    """The same by place of the field and length of the prompt."""

    table = "frontier_by_length"
    fillers: int


@dataclass(frozen=True)
class Selector(EstimateRow):
    """P(correct) by selector and number of tokens recomputed beside the field."""

    table = "k_sweep"
    selector: str
    k: int
    kl: float
    kl_ci_low: float | None
    kl_ci_high: float | None
    margin_recovery: float | None


@dataclass(frozen=True)
class KStar(TableRow):
    """The smallest K at which a selector is as good as the full re-prefill; empty where none is."""

    table = "k_star"
    selector: str
    full: float
    largest_k: int
    reached: bool
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n_families: int | None = None
    n_instances: int | None = None


@dataclass(frozen=True)
class Wording(EstimateRow):
    """P(correct) by wording of the erratum, and after one about another field."""

    table = "wording"
    wording: str
    another_field: float
    another_field_ci_low: float | None
    another_field_ci_high: float | None


@dataclass(frozen=True)
class ErratumArm(EstimateRow):
    """P(correct) by placement, repeats and number of errata."""

    table = "errata"
    arm: str
    wording: str


@dataclass(frozen=True)
class PlantedArm(EstimateRow):
    """P(correct) where the conversation states the old action."""

    table = "planted"
    method: str


@dataclass(frozen=True)
class Diagnostic(TableRow):
    """Counts of edits that the diagnostic called unsafe (``said``) and that are (``needed``)."""

    table = "diagnostic"
    wording: str
    edit: str
    edits: int
    needed: int
    said: int
    share_asked: float
    milliseconds_asked: float
    precision: float | None = None
    precision_ci_low: float | None = None
    precision_ci_high: float | None = None
    recall: float | None = None
    recall_ci_low: float | None = None
    recall_ci_high: float | None = None


@dataclass(frozen=True)
class EditKind(EstimateRow):
    """P(correct) of the cheap edit and of the full re-prefill, by kind of edit."""

    table = "fields"
    edit: str
    method: str


@dataclass(frozen=True)
class ChainArm(EstimateRow):
    """P(correct) with and without a chain of thought, by cache state."""

    table = "chains"
    method: str
    how: str
    is_action: float
    chain_tokens: float
    truncated: float


@dataclass(frozen=True)
class HorizonTurn(EstimateRow):
    """P(correct) by turn while the field changes every turn."""

    table = "horizon"
    turn: int
    method: str
    margin_error: float
    tokens: float


@dataclass(frozen=True)
class HorizonSlope(EstimateRow):
    """Change a turn over the turns with the new value, or the old one; and P(correct) over them."""

    table = "horizon_slopes"
    method: str
    turns: str
    what: str
    p_correct: float | None = None
    p_correct_ci_low: float | None = None
    p_correct_ci_high: float | None = None


@dataclass(frozen=True)
class TracedSource(EstimateRow):
    """Margin that a knockout of one source at the decision token takes away, by method and place.

    ``written`` is what all heads write into the margin from it directly; ``lost_if_given_back`` what is lost
    when the decision reads its columns of before the edit; ``lost_if_unseen`` when the question's tokens may
    not see it either.
    """

    table = "traced"
    method: str
    place: str
    source: str
    margin: float
    tokens: float
    attention: float
    written: float
    written_ci_low: float | None
    written_ci_high: float | None
    written_by_read_heads: float
    lost_if_given_back: float | None = None
    lost_if_unseen: float | None = None


@dataclass(frozen=True)
class WithoutSources(EstimateRow):
    """P(correct) when the decision token may not see several sources."""

    table = "traced_without"
    method: str
    place: str
    without: str
    margin: float


@dataclass(frozen=True)
class ErratumFate(TableRow):
    """Counts of errata that fail: not read, or read and outweighed; and followed once the old is hidden.

    ``read_by_question`` are those that the question's tokens read and the decision token does not;
    ``followed_unseen`` those that are followed once all of them see nothing of the old notes and the field.
    The rest are means over errata that fail: the attention to them, and as shares of what a re-prefill moves
    the margin that hiding the erratum from the decision token (``moved``) and from the question's tokens as
    well (``moved_by_all``) takes away, and the one that hiding the old notes and the field from both gives
    (``against_by_all``).
    """

    table = "traced_errata"
    method: str
    place: str
    edits: int
    failed: int
    unread: int
    outvoted: int
    followed_alone: int
    read_by_question: int = 0
    followed_unseen: int = 0
    attention: float | None = None
    moved: float | None = None
    moved_by_all: float | None = None
    against_by_all: float | None = None


@dataclass(frozen=True)
class Carrier(EstimateRow):
    """Margin lost when the tokens of one kind that were run again are given back one by one, summed."""

    table = "traced_tokens"
    method: str
    place: str
    kind: str
    tokens: float
    most: float
