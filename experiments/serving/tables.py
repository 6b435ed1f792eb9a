"""Tables of the serving experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class ArmLine(TableRow):
    """An arm with as many requests at once as there are clients, and how good its answers are.

    Capacity is in answers a second, its ratio is to the full re-prefill. Hit rates are shares of prompt
    tokens. A share right is over all requests up to capacity; ``right_per_second`` is capacity times that.
    """

    table = "arms"
    arm: str
    capacity: float
    capacity_ci_low: float | None
    capacity_ci_high: float | None
    capacity_ratio: float
    capacity_ratio_ci_low: float | None
    capacity_ratio_ci_high: float | None
    right: float
    right_ci_low: float | None
    right_ci_high: float | None
    right_per_second: float
    hit_requests: float
    hit_counters: float
    prompt_tokens: float
    computed_tokens: float
    error: float
    n: int
    runs: int


@dataclass(frozen=True)
class LoadLine(TableRow):
    """An arm under Poisson arrivals; seconds to the first token over runs, from when a request was due."""

    table = "load"
    arm: str
    load: float
    above_capacity: bool
    rate: float
    p50: float
    p50_ci_low: float | None
    p50_ci_high: float | None
    p90: float
    p90_ci_low: float | None
    p90_ci_high: float | None
    p99: float
    p99_ci_low: float | None
    p99_ci_high: float | None
    throughput: float
    right: float
    hit_requests: float
    hit_counters: float
    computed_tokens: float
    n: int
    runs: int


@dataclass(frozen=True)
class RatioLine(TableRow):
    """Time to first token of the full re-prefill over an arm's, each at one share of its own capacity."""

    table = "ratios"
    arm: str
    load: float
    above_capacity: bool
    percentile: int
    value: float
    ci_low: float | None
    ci_high: float | None
    runs: int


@dataclass(frozen=True)
class FaultLine(TableRow):
    """A fault that was made on purpose, and what came of it."""

    table = "faults"
    fault: str
    asked: int
    answered: int
    failed_tries: int
    in_full: int
    wrong: int
    worst_error: float
    reasons: str
    told: str


@dataclass(frozen=True)
class UpdateLine(TableRow):
    """One update by length and method, in milliseconds: editing and writing here, then the engine."""

    table = "updates"
    length: int
    method: str
    tokens: float
    edit_ms: float
    first_ms: float
    total_ms: float
    speedup: float
    computed: float
    right: float
    n: int
