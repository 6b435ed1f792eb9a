"""Which part each figure is about: its pairs, and the competence that it needs."""

from collections.abc import Mapping

from experiments.confirm.edits import ATTENDED, OTHER, RECOMPUTED, TAGGED
from experiments.confirm.pairs import RANDOM, TOP
from experiments.confirm.quads import SCRUBS
from pkv_interp.errors import PkvError, suggestion
from pkv_interp.run.preregistered import NamedModel
from pkv_interp.run.preregistration import Claim, Preregistration

FIELD, POLARITY, QUADS, EDITS, EPISODES = "field pairs", "polarity pairs", "quads", "edits", "episodes"
BEFORE, AFTER = "policy before the field", "policy after the field"
PAIRS, TURNS = "pairs right on both sides", "all turns"
#: Part that each figure is about.
PARTS: dict[str, str] = {
    "field_only": FIELD,
    "notes_only": FIELD,
    TOP: POLARITY,
    RANDOM: POLARITY,
    ATTENDED: EDITS,
    RECOMPUTED: EDITS,
    TAGGED: EDITS,
    OTHER: EDITS,
    "write_before_read": QUADS,
    **dict.fromkeys(SCRUBS, QUADS),
    "moved_rule": BEFORE,
    "moved_rule_blind": AFTER,
    "unified_success": EPISODES,
    "unified_speed": EPISODES,
}
#: What each part is judged on.
OVER: Mapping[str, str] = {part: TURNS if part == EPISODES else PAIRS for part in PARTS.values()}
#: Figures that there are in words alone: no experiment moves blocks, tells an agent or scores errata in code.
IN_WORDS = frozenset({TAGGED, OTHER, "moved_rule", "moved_rule_blind", "unified_success", "unified_speed"})


def part_of(claim: Claim, model: NamedModel) -> str:
    """The part that a claim is about for a model: read heads may be scored on field pairs."""
    part = PARTS[claim.judged_by]
    return FIELD if part == POLARITY and model.flip == "field" else part


def wanted(plan: Preregistration, model: str) -> set[str]:
    """The parts that some claim is about for a model, by figure: no others are measured.

    ``POLARITY`` stands for read heads, on whichever pairs the model's are ranked and scored.
    """
    return {PARTS[claim.judged_by] for claim in plan.claims if model in claim.models}


def check_claims(plan: Preregistration) -> None:
    """Refuse a claim about a figure that is not measured, or not for one of its models.

    Raises:
        PkvError: there is one.
    """
    for claim in plan.claims:
        figure = claim.judged_by
        if figure not in PARTS:
            raise PkvError(f"no figure is called '{figure}'", suggestion(figure, PARTS))
        if figure == "write_before_read" and claim.direction == "between":
            raise PkvError("'write_before_read' is a gap of two depths", "claim that it is over a threshold")
        code = [name for name in claim.models if plan.models[name].layout is not None]
        if code and figure in IN_WORDS:
            raise PkvError(
                f"'{figure}' is measured in words alone, and the layout of '{code[0]}' is code",
                f"leave that model out of the claim '{claim.name}'",
            )
