"""Settings of the editing experiment."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from pkv_interp.run.editing_settings import Erratum, Methods
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.settings import Draws, Sizes, Threshold, rising

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


class EditingSettings(ScenarioSettings):
    """Settings of this experiment; configs/editing.yaml says what each means."""

    families: SeveralFamilies = None
    instances: PositiveInt = 1
    both_ways: bool = False
    chat: bool = True
    methods: Methods = METHODS
    fillers: Annotated[tuple[NonNegativeInt, ...], AfterValidator(rising)] = (2, 24)
    places: Annotated[tuple[Literal["early", "late"], ...], Field(min_length=1)] = ("early", "late")
    erratum: Erratum = "override"
    ask_with: tuple[Erratum, ...] = ("tagged",)
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    rank_instances: PositiveInt = 2
    random_draws: PositiveInt = 3
    cot: bool = True
    cot_cases: PositiveInt = 8
    cot_tokens: PositiveInt = 48
    turns: Annotated[int, Field(ge=2)] = 28
    horizon_cases: PositiveInt = 8
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @property
    def asked_with(self) -> tuple[str, ...]:
        """Wordings that the diagnostic of ``auto`` asks with, the experiment's own first."""
        return tuple(dict.fromkeys((self.erratum, *self.ask_with)))
