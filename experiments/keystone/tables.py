"""Tables of the keystone experiment: its summary writes them, its figures read them."""

from dataclasses import dataclass

from pkv_interp.records.tables import TableRow


@dataclass(frozen=True)
class MethodLine(TableRow):
    """Recovery of a method on either cache, each on its own scale, and how often both decide alike.

    The composed columns and the agreement are empty for methods that prefill a text anew.
    """

    table = "methods"
    method: str
    recomputed: float
    recomputed_ci_low: float | None
    recomputed_ci_high: float | None
    recomputed_right: float
    recomputed_excluded: int
    composed: float | None
    composed_ci_low: float | None
    composed_ci_high: float | None
    composed_right: float | None
    composed_excluded: int | None
    agreement: float | None
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    tokens: float
    n: int
    n_families: int


@dataclass(frozen=True)
class Scale(TableRow):
    """The ends of a cache's scale: gap in logits, shares decided rightly, edits under the noise floor."""

    table = "scale"
    cache: str
    gap: float
    gap_ci_low: float | None
    gap_ci_high: float | None
    old_right: float
    new_right: float
    excluded: int
    n: int


@dataclass(frozen=True)
class CutLine(TableRow):
    """A cut into chunks: KL from the full prefill, and agreement where that is right on both values."""

    table = "cuts"
    cut: str
    chunks: int
    kl: float
    kl_ci_low: float | None
    kl_ci_high: float | None
    agreement: float | None
    agreement_ci_low: float | None
    agreement_ci_high: float | None
    counted: int
    n: int
    n_families: int
