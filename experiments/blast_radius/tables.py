"""Tables of the blast radius experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Thresholds(EstimateRow):
    """Share of the tokens after the field that deviate by more than a threshold."""

    table = "thresholds"
    field_class: str
    flip: str
    measure: str
    threshold: float


@dataclass(frozen=True)
class ByClass(EstimateRow):
    """Mean of a score of the flips of a class; without a number of fillers, over all lengths."""

    table = "by_class"
    field_class: str
    flip: str
    n_fillers: int | None
    quantity: str


@dataclass(frozen=True)
class ByField(EstimateRow):
    """Share above 0.1 by field, in the classes whose fields several families share."""

    table = "by_field"
    field_class: str
    field: str
    flip: str


@dataclass(frozen=True)
class ByKind(EstimateRow):
    """Deviation of tokens by kind: per token, above 0.1, as a share of all; and their share of all tokens."""

    table = "by_kind"
    field_class: str
    kind: str
    quantity: str


@dataclass(frozen=True)
class ByDistance(EstimateRow):
    """Mean output deviation by distance from the field in tokens, in bins from ``start`` to ``end``."""

    table = "by_distance"
    field_class: str
    tokens: str
    start: int
    end: int | None


@dataclass(frozen=True)
class ByDepth(EstimateRow):
    """Mean deviation of the tokens after the field by layer."""

    table = "by_depth"
    field_class: str
    measure: str
    layer: int


@dataclass(frozen=True)
class ByChangedTokens(EstimateRow):
    """Share above 0.1 by the number of tokens in which the prompts differ, from ``start`` to ``end``."""

    table = "by_changed_tokens"
    field_class: str
    start: int
    end: int | None


@dataclass(frozen=True)
class Trend(EstimateRow):
    """A slope: fitted for each instance, then averaged."""

    table = "trends"
    trend: str
    field_class: str | None


@dataclass(frozen=True)
class MapToken(TableRow):
    """A token of the example prompt; ``k``, ``v`` (cosine) and ``output`` list a number per layer."""

    table = "map"
    position: int
    token: str
    kind: str
    token_kind: str
    changed: bool
    family: str
    instance: str
    old: str
    new: str
    k: list[float]
    v: list[float]
    output: list[float]


@dataclass(frozen=True)
class DeviationEffect(EstimateRow):
    """Spearman's rho of deviation and recovery (or its absolute value) over the positions of an instance."""

    table = "deviation_effect"
    measure: str
    effect: str


@dataclass(frozen=True)
class Guide(EstimateRow):
    """Recovery of the ``k`` positions that a guide puts first, patched together."""

    table = "guides"
    guide: str
    k: int


@dataclass(frozen=True)
class EffectKind(EstimateRow):
    """Single-position recoveries summed by token kind."""

    table = "effect_kinds"
    kind: str


@dataclass(frozen=True)
class EffectPoint(TableRow):
    """One position of one instance: its deviation and its recovery."""

    table = "effect_points"
    instance: str
    family: str
    position: int
    token: str
    token_kind: str
    output: float
    v_cosine: float
    recovery: float
