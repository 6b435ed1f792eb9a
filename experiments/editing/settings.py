"""Settings of the editing experiment."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

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


class EditingSettings(ScreenSettings, ScenarioSettings):
    """Settings of this experiment; configs/editing.yaml says what each means."""

    PER_FAMILY: ClassVar[tuple[str, ...]] = ("instances", "rank_instances")

    families: SeveralFamilies = None
    instances: Count = 1
    both_ways: Switch = False
    chat: Switch = True
    methods: Methods = METHODS
    fillers: FillerCounts = (2, 24)
    places: Annotated[
        tuple[Literal["early", "late"], ...], Field(max_length=2), AfterValidator(each_once)
    ] = ("early", "late")
    erratum: Erratum = "override"
    ask_with: Annotated[tuple[Erratum, ...], Field(max_length=16)] = ("tagged",)
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    rank_instances: Count = 2
    random_draws: Count = 3
    cot: Switch = True
    cot_cases: Count = 8
    cot_tokens: Tokens = 48
    turns: Annotated[int, Field(strict=True, ge=2, le=10_000)] = 28
    horizon_cases: Count = 8
    traced_cases: Count = 8
    read_heads: Count = 12
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        of = (len(self.chosen(self.families)), "families")
        return (
            *self.more_than(horizon_cases=of, traced_cases=of),
            *(self.more_than(cot_cases=of) if self.cot else ()),
        )

    @property
    def asked_with(self) -> tuple[str, ...]:
        """Wordings that the diagnostic of ``auto`` asks with, the experiment's own first."""
        return tuple(dict.fromkeys((self.erratum, *self.ask_with)))
