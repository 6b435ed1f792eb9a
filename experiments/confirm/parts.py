"""Which part each claim is about: its pairs, and the competence that it needs."""

from collections.abc import Mapping

from experiments.confirm.edits import OTHER, RECOMPUTED, TAGGED
from experiments.confirm.pairs import RANDOM, TOP
from experiments.confirm.quads import SCRUBS
from pkv_interp.errors import PkvError, suggestion
from pkv_interp.run.preregistration import Preregistration

PAIRS, TURNS = "pairs right on both sides", "all turns"
#: Part that each claim is about.
PARTS: dict[str, str] = {
    "field_only": "field pairs",
    "notes_only": "field pairs",
    TOP: "polarity pairs",
    RANDOM: "polarity pairs",
    RECOMPUTED: "edits",
    TAGGED: "edits",
    OTHER: "edits",
    "write_before_read": "quads",
    **dict.fromkeys(SCRUBS, "quads"),
    "moved_rule": "policy before the field",
    "moved_rule_blind": "policy after the field",
    "unified_success": "episodes",
    "unified_speed": "episodes",
}
#: What each part is judged on.
OVER: Mapping[str, str] = {part: TURNS if part == "episodes" else PAIRS for part in PARTS.values()}


def check_names(plan: Preregistration) -> None:
    """Refuse a claim about a figure that is not measured.

    Raises:
        PkvError: there is one.
    """
    for claim in plan.claims:
        if claim.name not in PARTS:
            raise PkvError(f"no figure is called '{claim.name}'", suggestion(claim.name, PARTS))
        if claim.name == "write_before_read" and claim.direction == "between":
            raise PkvError("'write_before_read' is a gap of two depths", "claim that it is over a threshold")
