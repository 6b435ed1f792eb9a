"""Tables of the circuit experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class States(EstimateRow):
    """Recovery by cache state."""

    table = "states"
    arm: str


@dataclass(frozen=True)
class SiteLabel(TableRow):
    """Single-position recovery of a position label on both splits; intervals for aggregators only."""

    table = "sites"
    label: str
    discovery: float
    held_out: float | None
    aggregator: bool
    ci_low: float | None = None
    ci_high: float | None = None
    n_families: int | None = None
    n_instances: int | None = None


@dataclass(frozen=True)
class TokenKind(EstimateRow):
    """Single-position recoveries summed by token kind."""

    table = "token_kinds"
    kind: str
    positions_per_prompt: float


@dataclass(frozen=True)
class ReadCurve(EstimateRow):
    """Recovery of the k best read heads (``top``), or of k random ones."""

    table = "read_curve"
    arm: str
    k: int


@dataclass(frozen=True)
class ReadHead(TableRow):
    """A head patched at the decision, and where it looks."""

    table = "read_heads"
    layer: int
    head: int
    rank: int
    discovery: float
    held_out: float
    ci_low: float | None
    ci_high: float | None
    attention_aggregators: float
    attention_field: float


@dataclass(frozen=True)
class ReadMLP(TableRow):
    """An MLP patched at the decision."""

    table = "read_mlps"
    layer: int
    held_out: float


@dataclass(frozen=True)
class WriteHead(TableRow):
    """A head patched during prefill, on discovery families: at the top aggregator and at all."""

    table = "write_heads"
    layer: int
    head: int
    rank: int
    top: float
    joint: float


@dataclass(frozen=True)
class WriteMLP(TableRow):
    """An MLP patched during prefill, on discovery families."""

    table = "write_mlps"
    layer: int
    top: float
    joint: float


@dataclass(frozen=True)
class WriteSample(TableRow):
    """What the ranking of write heads rests on."""

    table = "write_sample"
    n_families: int
    n_instances: int


@dataclass(frozen=True)
class WriteCurve(EstimateRow):
    """Recovery of sets of writers at the top aggregator (``top``) or at all (``joint``)."""

    table = "write_curve"
    where: str
    arm: str
    k: int | None


@dataclass(frozen=True)
class AttentionShare(EstimateRow):
    """What attention (the estimate) and MLPs wrote of the notes, cumulated up to a block."""

    table = "attention_share"
    layer: int
    mlp: float
    mlp_ci_low: float | None
    mlp_ci_high: float | None


@dataclass(frozen=True)
class AttentionShareDepth(TableRow):
    """The block after which the headline takes attention's share."""

    table = "attention_share_depth"
    after_block: int


@dataclass(frozen=True)
class DirectLogits(TableRow):
    """Direct part of a head or MLP in the margin difference."""

    table = "direct_logits"
    component: str
    layer: int
    head: int | None
    share: float


@dataclass(frozen=True)
class Screening(EstimateRow):
    """How well attribution patching agrees with the exact patch."""

    table = "screening"
    sites: str
    measure: str


@dataclass(frozen=True)
class ScreeningPoint(TableRow):
    """A site: its first-order effect and its exact one, pooled over held-out cases."""

    table = "screening_points"
    sites: str
    site: str
    screen: float
    exact: float


@dataclass(frozen=True)
class Faithfulness(EstimateRow):
    """Share of the margin that is left when all heads but a share of them are replaced."""

    table = "faithfulness"
    ablation: str
    share: float
