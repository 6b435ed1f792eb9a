"""Tables of the edits that matter."""

from dataclasses import dataclass

from pkv_interp.records.tables import EstimateRow, TableRow


@dataclass(frozen=True)
class EditsThatMatter(TableRow):
    """Counts of edits at one place: ``matter`` those that the stale cache has wrong and a re-prefill right.

    The others are dropped from the main table: ``stale_right``, and ``full_wrong`` of those whose stale cache
    is wrong as well.
    """

    table = "edits_that_matter"
    place: str
    edits: int
    matter: int
    stale_right: int
    full_wrong: int


@dataclass(frozen=True)
class MainFrontier(EstimateRow):
    """P(correct) of a method on the edits that matter at one place; the stale cache has 0, a re-prefill 1.

    The value is for the question run after the edit, ``last_token`` for the published readout, which runs the
    last token of the prompt alone. ``question_kept`` is the share of edits where that keeps the question's
    columns of before the edit; both are empty in measurements of before there was that readout.
    """

    table = "main_frontier"
    method: str
    place: str
    last_token: float | None
    last_token_ci_low: float | None
    last_token_ci_high: float | None
    question_kept: float | None
    kl: float
    tokens: float
    share: float
