"""Settings of the patching experiment."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pkv_interp.names import Part
from pkv_interp.run.left_out import pairs_left_out
from pkv_interp.run.scenario_settings import FieldValues, PairSettings, SeveralFamilies
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.values import (
    Count,
    Draws,
    FillerCounts,
    Fillers,
    Shares,
    Sizes,
    Switch,
    Threshold,
    Tokens,
    each_once,
)
from pkv_interp.tasks.places import LEAST_FILLERS, PLACES, Place, can_move

#: Size of the position sets in the headline.
HEADLINE_K = 8


class PatchingSettings(ScreenSettings, PairSettings):
    """Settings of this experiment; configs/patching.yaml says what each means."""

    families: SeveralFamilies = None
    values: FieldValues = {}
    instances: Count = 2
    n_fillers: Fillers = 2
    chat: Switch = True
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    random_draws: Count = 20
    shares: Shares = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
    knockout_shares: Shares = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
    knockout_draws: Count = 5
    path_draws: Count = 2
    grid_cases: Count = 6
    grid_parts: Annotated[tuple[Part, ...], Field(max_length=3), AfterValidator(each_once)] = ("KV",)
    fillers: FillerCounts = (0, 2, 8, 24)
    rules: Sizes = (1, 2, 3)
    places: Annotated[tuple[Place, ...], Field(max_length=len(PLACES)), AfterValidator(each_once)] = PLACES
    place_fillers: Annotated[Fillers, Field(ge=LEAST_FILLERS)] = 8
    dose_instances: Count = 1
    cot: Switch = True
    cot_cases: Count = 4
    cot_tokens: Tokens = 48
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        if self.pairs is not None:
            return pairs_left_out(self)
        of = (len(self.chosen(self.families)), "families")
        chains = self.more_than(cot_cases=of) if self.chained else ()
        if self.cot and not self.chained:
            chains = (f"no chains of thought: the layout '{self.laid_out.name}' is code",)
        fixed = (
            (f"no places of the field: its block cannot move in the layout '{self.laid_out.name}'",)
            if not self.moved
            else ()
        )
        sizes = self.more_than(grid_cases=of, dose_instances=(self.instances, "cases a family"))
        return (*sizes, *chains, *fixed)

    @property
    def chained(self) -> bool:
        """Whether chains of thought are measured: code has no room for a sentence that gives a reason."""
        return self.cot and not self.laid_out.is_code

    @property
    def moved(self) -> tuple[Place, ...]:
        """The places that the field is moved through; none in a layout whose block of it is fixed."""
        return self.places if can_move(self.laid_out) else ()

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
