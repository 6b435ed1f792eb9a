"""Tables of the controls experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class States(EstimateRow):
    """Recovery by cache state, all polarity pairs."""

    table = "states"
    arm: str


@dataclass(frozen=True)
class Specificity(EstimateRow):
    """Recovery of the k best positions (``top``), or of k random ones with the share that match."""

    table = "specificity"
    arm: str
    k: int
    matched: float | None


@dataclass(frozen=True)
class Injection(EstimateRow):
    """How far the margin follows notes of a donor, and how far it moves whichever way (``drift``).

    ``follows`` is how often the decision is the other one.

    ``pair`` names the two prompts that the notes were put into, ``donor`` what differs from them where the
    notes were taken: the conclusion alone (``conclusion``), the record alone (``record``), or the field and
    with it the conclusion (``field``). ``matched`` is the share of random positions that match.
    """

    table = "injection"
    pair: str
    donor: str
    positions: str
    drift: float
    drift_ci_low: float | None
    drift_ci_high: float | None
    follows: float
    follows_ci_low: float | None
    follows_ci_high: float | None
    matched: float | None


@dataclass(frozen=True)
class Aggregator(EstimateRow):
    """An aggregator alone on held-out families; p values by max-T over all aggregators."""

    table = "aggregators"
    label: str
    discovery: float
    p_adjusted: float | None


@dataclass(frozen=True)
class ProbeLayer(TableRow):
    """Share that probes read right after a layer; p values by max-T, conclusion against shuffled labels."""

    table = "probes"
    layer: int
    depth: float
    p_adjusted: float
    conclusion: float
    conclusion_ci_low: float | None
    conclusion_ci_high: float | None
    shuffled: float
    shuffled_ci_low: float | None
    shuffled_ci_high: float | None
    field: float
    field_ci_low: float | None
    field_ci_high: float | None
    conclusion_inside: float
    conclusion_inside_ci_low: float | None
    conclusion_inside_ci_high: float | None


@dataclass(frozen=True)
class LensLayer(TableRow):
    """How often the logit lens at the decision agrees with the answer."""

    table = "lens"
    layer: int
    depth: float
    agrees: float
    agrees_ci_low: float | None
    agrees_ci_high: float | None


@dataclass(frozen=True)
class Timing(TableRow):
    """Depths at which the conclusion is written and at which the decision commits to it."""

    table = "timing"
    rise: float
    write_depth: float | None
    commit_depth: float
    commit_after_write: float | None


@dataclass(frozen=True)
class Scrubbing(EstimateRow):
    """Shift towards the other conclusion when notes are resampled, and its size whichever way (``drift``)."""

    table = "scrubbing"
    donor: str
    resampled: str
    drift: float
    drift_ci_low: float | None
    drift_ci_high: float | None


@dataclass(frozen=True)
class EditLayer(TableRow):
    """A layer that was tried for edits."""

    table = "edit_layers"
    layer: int
    depth: float
    recovery_discovery: float
    chosen: bool


@dataclass(frozen=True)
class DirectionEdit(EstimateRow):
    """Recovery of an edit into the corrupt prompt, or the share of the gap that one out of clean takes."""

    table = "directions"
    edit: str
    arm: str
    layer: int


@dataclass(frozen=True)
class TemplateState(EstimateRow):
    """Recovery by cache state outside the template, and how often the model does that task."""

    table = "templates"
    template: str
    arm: str
    competent: bool
    match: float
    mismatch: float


@dataclass(frozen=True)
class SparseCoding(TableRow):
    """The sparse coder, and how it does at the strongest position or at all aggregators (``where``).

    Of its ``samples`` ``replayed`` are of replay text; ``unexplained_replay`` is of held-out such text.
    """

    table = "sae"
    where: str
    layer: int
    features: int
    active: int
    ever_active: int
    samples: int
    replayed: int
    unexplained_replay: float
    unexplained_discovery: float
    unexplained_held_out: float


@dataclass(frozen=True)
class SparseFeature(TableRow):
    """How well a feature decodes the conclusion."""

    table = "sae_features"
    where: str
    rank: int
    feature: int
    auc_discovery: float
    auc_held_out: float
    auc_held_out_ci_low: float | None
    auc_held_out_ci_high: float | None


@dataclass(frozen=True)
class SparseClamp(EstimateRow):
    """As `DirectionEdit`, of ``clamped`` features; ``full``: the whole difference at the same places."""

    table = "sae_clamps"
    edit: str
    where: str
    arm: str
    clamped: int | None
