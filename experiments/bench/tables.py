"""Tables of the benchmark."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class Speed(TableRow):
    """Random patches, one line per kind and repeat: seconds by route, and the difference of the routes."""

    table = "speed"
    work: str
    repeat: int
    patches: int
    tokens: int
    packed_seconds: float
    one_by_one_seconds: float
    plain_forward_seconds: float
    speedup: float
    over_limit: float
    difference: float


@dataclass(frozen=True)
class PatchMemory(TableRow):
    """Peak memory of random KV patches, by their number, in MiB over the model and the prefills."""

    table = "memory"
    patches: int
    peak_mb: float


@dataclass(frozen=True)
class Grid(TableRow):
    """A whole grid of single-position patches.

    ``sample_seconds`` is the time of ``sample`` cells one by one, ``one_by_one_seconds`` that time scaled to
    all cells; where the sample is all cells, nothing is scaled.
    """

    table = "grids"
    work: str
    repeat: int
    cells: int
    positions: int
    tokens: int
    packed_seconds: float
    packed_peak_mb: float
    sample: int
    sample_seconds: float
    one_by_one_seconds: float
    one_by_one_peak_mb: float
    speedup: float
    difference: float


@dataclass(frozen=True)
class GridMemory(TableRow):
    """Peak memory of cells of a grid, by their number, in MiB over the model and the prefills."""

    table = "memory_by_patches"
    work: str
    patches: int
    tokens: int
    peak_mb: float


@dataclass(frozen=True)
class EditLatency(TableRow):
    """One edit timed once; ``speedup`` is against the full re-prefill of the same repeat."""

    table = "edit_latency"
    method: str
    tokens: int
    repeat: int
    seconds: float
    wall_ms: float
    recomputed: int
    share: float
    prompt_surgery: bool
    speedup: float


@dataclass(frozen=True)
class EditExponent(TableRow):
    """A method's exponent over prompt lengths, and the median latency at both ends."""

    table = "edit_exponents"
    method: str
    exponent: float
    ci_low: float | None
    ci_high: float | None
    shortest: int
    longest: int
    seconds_shortest: float
    seconds_longest: float


@dataclass(frozen=True)
class EditAdded(TableRow):
    """One erratum timed once, by the tokens that it adds."""

    table = "edit_added"
    tokens: int
    added: int
    repeat: int
    seconds: float


@dataclass(frozen=True)
class WriteSpeed(TableRow):
    """A write sweep, one line per repeat.

    ``one_by_one_seconds`` is the time of ``sample`` rows scaled to all. ``speedup`` is over the route whose
    rows run whole layers, ``over_limit`` over ``matmul_seconds``.
    """

    table = "writes"
    repeat: int
    rows: int
    positions: int
    suffix: int
    tokens: int
    sample: int
    multiply_adds: int
    joined_seconds: float
    whole_layers_seconds: float
    one_by_one_seconds: float
    matmul_seconds: float
    speedup: float
    over_limit: float
    difference: float


@dataclass(frozen=True)
class PeerUse(TableRow):
    """A library that was asked for: ``absent`` says why it could not be used."""

    table = "peer_tools"
    route: str
    tool: str
    version: str | None
    absent: str | None


@dataclass(frozen=True)
class PeerTime(TableRow):
    """One route through one sweep, timed once.

    ``sweep_seconds`` is the time of ``rows`` patches, ``all_seconds`` that time scaled to all ``cells``;
    ``open_seconds`` is spent once. ``cached`` routes read a cached prefix, the others run the whole prompt
    for every patch.
    """

    table = "peer_times"
    work: str
    route: str
    repeat: int
    cached: bool
    tokens: int
    cells: int
    rows: int
    open_seconds: float
    sweep_seconds: float
    all_seconds: float
    peak_mb: float
    difference: float


@dataclass(frozen=True)
class PeerRatio(EstimateRow):
    """A peer's cost over the packed engine's for one sweep, over repeats.

    ``ratio`` is ``sweep`` (prompts are prefilled), ``end_to_end`` (with what is done once) or ``memory``.
    """

    table = "peer_ratios"
    work: str
    route: str
    cached: bool
    ratio: str
    fastest: bool


@dataclass(frozen=True)
class StageCost(TableRow):
    """One main stage at one size of what grows (``axis``)."""

    table = "growth"
    axis: str
    experiment: str
    stage: str
    size: int
    seconds: float
    peak_mb: float
    operations: float


@dataclass(frozen=True)
class StageExponent(EstimateRow):
    """Power with which a stage's time, memory or operations grow; ``per_work`` is time against operations.

    ``last`` is the same between the two largest sizes alone.
    """

    table = "growth_exponents"
    axis: str
    experiment: str
    stage: str
    cost: str
    smallest: int
    largest: int
    last: float
