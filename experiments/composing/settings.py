"""Settings of the composing experiment."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.values import (
    Count,
    CountOrNone,
    Draws,
    FillerCounts,
    Fillers,
    Lengths,
    Names,
    Share,
    Sizes,
    Switch,
    Threshold,
    Tokens,
)

#: What is moved where: name to (blocks moved, field after the rule, place of the policy).
CONDITIONS: dict[str, tuple[tuple[str, ...], bool, str]] = {
    "rule": (("policy",), True, "user"),
    "rule_after_field": (("policy",), False, "user"),
    "facts": (("session",), False, "user"),
    "facts_after_rule": (("session",), True, "user"),
    "tools": (("tools",), True, "user"),
    "all": (("policy", "session", "tools"), True, "user"),
    "system_area": (("policy",), True, "system"),
    "mid_trajectory": (("policy",), True, "later_turn"),
}
#: The condition of the headline figures: a policy as a skill, with the state after it.
MAIN = "rule"
#: The condition in which a chunk's notes depend on a field that stands before it.
BLIND = "rule_after_field"
#: Facts that are read back, in a template of their own.
LOOKUP = "lookup"
#: Tokens before the chunk whose splice is timed.
PREFIX = 16


class ComposingSettings(ScenarioSettings):
    """Settings of this experiment; configs/composing.yaml says what each means."""

    # Measuring reads the threshold: function calls are transplanted only where the full prefill reaches it.
    SUMMARY_ONLY: ClassVar[frozenset[str]] = frozenset({"bootstrap_draws"})
    NOT_IN_CODE: ClassVar[str | None] = "the chunks that are composed are policies, tools and turns in words"

    families: SeveralFamilies = None
    instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
    conditions: Names = (*CONDITIONS, LOOKUP)
    seams: Sizes = (1, 2, 4, 8, 16, 64)
    blend_share: Share = 0.15
    curve_families: Count = 4
    chunk_fillers: FillerCounts = (0, 8, 32, 96, 272)
    distance_fillers: FillerCounts = (0, 8, 32)
    skills: Sizes = (1, 2, 4, 8)
    tool_values: Annotated[int, Field(strict=True, ge=0, le=3)] = 2
    tool_tokens: Tokens = 40
    diagnosis_prompts: CountOrNone = 8
    lengths: Lengths = (256, 512, 1024, 2048, 4096, 8192)
    rounds: Count = 3
    suffix: Tokens = 32
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("conditions")
    @classmethod
    def _known_with_the_main_one(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in (*CONDITIONS, LOOKUP)]
        if unknown or MAIN not in names or len(set(names)) < len(names):
            raise ValueError(f"name '{MAIN}' and others of {', '.join((*CONDITIONS, LOOKUP))}, each once")
        return names

    @model_validator(mode="after")
    def _room_for_a_chunk(self) -> Self:
        if self.lengths[0] <= PREFIX + self.suffix:
            raise ValueError(f"lengths must be more than {PREFIX + self.suffix}, to leave room for a chunk")
        return self

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        return self.more_than(curve_families=(len(self.chosen(self.families)), "families"))

    @property
    def repairs(self) -> tuple[int, ...]:
        """Numbers of first tokens recomputed; the headline's 1 is always among them."""
        return tuple(sorted({1, *self.seams}))
