"""Tables of the weight edits: their summary writes them, their figure reads them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class WeightEdit(TableRow):
    """What a method does to its record and to all else, each with its interval over families."""

    table = "weight_edit"
    method: str
    edits: str
    layer: int | None
    success: float
    success_ci_low: float | None
    success_ci_high: float | None
    rephrased: float
    rephrased_ci_low: float | None
    rephrased_ci_high: float | None
    contamination: float
    contamination_ci_low: float | None
    contamination_ci_high: float | None
    collateral: float
    collateral_ci_low: float | None
    collateral_ci_high: float | None
    latency_ms: float
    latency_ms_ci_low: float | None
    latency_ms_ci_high: float | None
    n_families: int
    n_instances: int


@dataclass(frozen=True)
class WeightLayer(TableRow):
    """A rank-one arm at a layer that was tried, on discovery records."""

    table = "weight_layers"
    arm: str
    layer: int
    success: float
    margin: float
    n: int
    chosen: bool


@dataclass(frozen=True)
class WeightValidation(TableRow):
    """A rank-one edit of a fact that the model knows."""

    table = "weight_validation"
    side: str
    layer: int
    chosen: bool
    fact: str
    efficacy: float
    top: float
    paraphrase: float
    locality: float
    steps: int


@dataclass(frozen=True)
class WeightSetup(TableRow):
    """What the edits rest on; ``competent`` is of the edited records alone, which were chosen for it."""

    table = "weight_setup"
    competent: bool
    n_records: int
    n_left_out: int
    covariance_tokens: int
    covariance_width: int
    rome_record_layer: int
    rome_last_token_layer: int
    rome_record_condition: float
    rome_last_token_condition: float
    rome_record_condition_without_ridge: float | None
    rome_last_token_condition_without_ridge: float | None
