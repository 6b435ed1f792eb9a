"""Tables of the experiment on programmable caches: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow

PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"


@dataclass(frozen=True)
class ArmLine(EstimateRow):
    """Share of right decisions of a model in one arm, by place of the field and length of the prompt.

    Attributes:
        tokens: that the edit ran, the mean; 0 where nothing was edited.
        length: of the context, in tokens, the mean.
        read: share of values that were read back right before the decision; None where none was read.
    """

    table = "edits"
    role: str
    arm: str
    place: str
    fillers: int
    tokens: float
    length: float
    read: float | None


@dataclass(frozen=True)
class SpliceLine(EstimateRow):
    """Share of right decisions with the policy in one piece of cache, moved or not."""

    table = "splices"
    role: str
    arm: str
    place: str


@dataclass(frozen=True)
class DriftLine(TableRow):
    """Mean distance of margins from a prefill after many edits, in logits, and decisions that are alike."""

    table = "drift"
    role: str
    edits: int
    isolated: float
    plain: float
    alike: float
    right: float
    n: int


@dataclass(frozen=True)
class PartLine(EstimateRow):
    """Recovery in plain prompts, by what of the clean cache was put in."""

    table = "parts"
    role: str
    part: str


@dataclass(frozen=True)
class OverlapLine(EstimateRow):
    """Overlap of the read heads of two models: Jaccard index of the first ``heads`` of each."""

    table = "read_heads"
    one: str
    other: str
    heads: int


@dataclass(frozen=True)
class ConflictLine(EstimateRow):
    """Share of decisions that go with the field where the notes say something else.

    Attributes:
        model: a role, or an adapter of so much training.
        dose: its place among the adapters of more and more training, from 1; None for a role.
        strength: of the notes, from 0 (the field's own) to 1.
        recovery: of the margin, 0 as the field has it and 1 as the notes have it.
    """

    table = "conflict"
    model: str
    dose: int | None
    strength: float
    recovery: float


@dataclass(frozen=True)
class CrossingLine(TableRow):
    """The first measured strength of the notes at which half of the decisions or more go with them.

    Attributes:
        right: share of the pairs that are decided right on both sides, with nothing mixed.
        strength: None where most decisions go with the field at every strength.
    """

    table = "conflict_crossing"
    model: str
    right: float
    strength: float | None
    strength_ci_low: float | None
    strength_ci_high: float | None
    n: int


@dataclass(frozen=True)
class HopLine(EstimateRow):
    """Share of right decisions by rules between value and action, and by who may look at the field.

    Attributes:
        hops: rules.
        kept: of the decisions that are right in plain prompts, the share that stays so; None where none is.
    """

    table = "hops"
    role: str
    arm: str
    hops: int
    template: str
    kept: float | None


@dataclass(frozen=True)
class DecodableLine(EstimateRow):
    """Share of prompts whose conclusion a probe reads off one place and layer, families held out.

    Attributes:
        shuffled: the same with shuffled labels.
    """

    table = "decodability"
    role: str
    pattern: str
    place: str
    layer: int
    shuffled: float


@dataclass(frozen=True)
class PathLine(EstimateRow):
    """What is left of the gap between both prompts with a path closed."""

    table = "paths"
    role: str
    path: str
    clean_right: float
    corrupt_right: float


@dataclass(frozen=True)
class LookLine(EstimateRow):
    """Attention of the decision token, a mean over layers and heads, by what it falls on."""

    table = "attention"
    role: str
    on: str


@dataclass(frozen=True)
class CostLine(TableRow):
    """Tokens and milliseconds of edits with their decisions, added up, a mean over contexts.

    On a CPU milliseconds are the process's own time, added up over its threads.
    """

    table = "cost"
    arm: str
    edits: int
    tokens: float
    milliseconds: float
    n: int


@dataclass(frozen=True)
class JoinLine(EstimateRow):
    """How many times sooner the first token comes with chunks spliced than after a plain prefill.

    Attributes:
        chunks: that were prefilled ahead and put in.
        length: tokens of the prompt, a mean over prompts.
        run: of these, tokens that were run.
        spliced_ms, blind_ms, plain_ms: to the first token: spliced, prefilled under the same pattern, plain.
    """

    table = "joined"
    chunks: int
    length: float
    run: float
    spliced_ms: float
    blind_ms: float
    plain_ms: float


@dataclass(frozen=True)
class ChatLine(TableRow):
    """Loss on held-out chats, in nats per token, and its ratio to that of the gate's role."""

    table = "chat_loss"
    role: str
    loss: float
    ratio: float
    n_chats: int


@dataclass(frozen=True)
class ClaimLine(TableRow):
    """One criterion with its figure.

    Attributes:
        outcome: ``passed``, ``failed`` or ``not applicable``.
        certain: all of the interval lies on the same side; None without a figure or an interval.
        reason: in words.
    """

    table = "claims"
    claim: str
    role: str
    figure: str
    what: str
    relation: str
    threshold: float
    outcome: str
    certain: bool | None
    reason: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n_families: int | None
    n_instances: int | None
    source: str


@dataclass(frozen=True)
class WithheldLine(TableRow):
    """A headline that this run cannot state, and why."""

    table = "withheld"
    headline: str
    reason: str
