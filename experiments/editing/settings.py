"""Settings of the editing experiment."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.editing_settings import Erratum, Methods
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.values import Count, Draws, FillerCounts, Sizes, Switch, Threshold, Tokens, each_once

METHODS = (
    "stale",
    "field_only",
    "oracle_patch@8",
    "recompute@8",
    "recompute@32",
    "cacheblend@0.15",
    "epic",
    "suffix_recompute@32",
    "hoist",
    "erratum",
    "field_erratum",
    "auto",
    "suffix_recompute",
    "full_reprefill",
)


#: Where the field stands: before the rule, or after it.
Place = Literal["early", "late"]
#: The edit of an isolated field alone, whose decision reads its value back first.
READ_BACK = "read_back"


class EditingSettings(ScreenSettings, ScenarioSettings):
    """Settings of this experiment; configs/editing.yaml says what each means."""

    PER_FAMILY: ClassVar[tuple[str, ...]] = ("instances", "rank_instances")

    families: SeveralFamilies = None
    instances: Count = 1
    both_ways: Switch = False
    chat: Switch = True
    methods: Methods = METHODS
    fillers: FillerCounts = (2, 24)
    places: Annotated[tuple[Place, ...], Field(min_length=1, max_length=2), AfterValidator(each_once)] = (
        "early",
        "late",
    )
    erratum: Erratum = "override"
    ask_with: Annotated[tuple[Erratum, ...], Field(max_length=16)] = ("tagged",)
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    rank_instances: Count = 2
    random_draws: Count = 2
    cot: Switch = True
    cot_cases: Count = 30
    cot_tokens: Tokens = 48
    turns: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 28
    horizon_cases: Count = 6
    horizon_erratum: Erratum = "tagged"
    traced_cases: Count = 8
    read_heads: Count = 12
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        families = len(self.chosen(self.families))
        of = (families, "families")
        edits = (2 * families * self.instances, "edits of the shortest prompts")
        layout = self.laid_out
        told = []
        if self.cot and not self.chained:
            told.append(f"no chains of thought: the layout '{layout.name}' is code")
        if self.at != self.places:
            told.append(f"one place of the field, {self.at[0]}: the layout '{layout.name}' has it there")
        return (
            *told,
            *self.more_than(horizon_cases=of, traced_cases=of),
            *(self.more_than(cot_cases=edits) if self.chained else ()),
        )

    @model_validator(mode="after")
    def _there_is_such_a_place(self) -> Self:
        if (self.scenarios is None or self.scenarios.is_here) and not self.at:
            raise PkvError(
                f"the layout '{self.laid_out.name}' cannot have the field {self.places[0]}",
                "leave places out, or choose another layout",
            )
        return self

    @property
    def at(self) -> tuple[Place, ...]:
        """The places of the field that the layout can have, among those asked for."""
        layout = self.laid_out
        own: Place = "late" if layout.field_late else "early"
        return self.places if layout.swaps else tuple(place for place in self.places if place == own)

    @property
    def chained(self) -> bool:
        """Whether chains of thought are measured: code has no room for a sentence that gives a reason."""
        return self.cot and not self.laid_out.is_code

    @property
    def frontier_methods(self) -> tuple[str, ...]:
        """The methods, and under a pattern the isolated edit whose decision reads the field back."""
        return self.methods if self.model.pattern is None else (*self.methods, READ_BACK)

    @property
    def asked_with(self) -> tuple[str, ...]:
        """Wordings that the diagnostic of ``auto`` asks with, the experiment's own first."""
        return tuple(dict.fromkeys((self.erratum, *self.ask_with)))
