"""Settings of the patching experiment."""

from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt, PositiveInt

from pkv_interp.cache.frozen import Part
from pkv_interp.run.scenario_settings import PairSettings, SeveralFamilies
from pkv_interp.run.settings import Draws, Shares, Sizes, Threshold, rising

#: Size of the position sets in the headline.
HEADLINE_K = 8


def _each_once(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    if not parts or len(set(parts)) < len(parts):
        raise ValueError("give at least one, each once")
    return parts


class PatchingSettings(PairSettings):
    """Settings of this experiment; configs/patching.yaml says what each means."""

    families: SeveralFamilies = None
    values: dict[str, tuple[str, str]] = {}
    instances: PositiveInt = 2
    n_fillers: NonNegativeInt = 2
    chat: bool = True
    top_k: Sizes = (1, 2, 4, 8, 16, 32, 64)
    random_draws: PositiveInt = 20
    shares: Shares = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0)
    knockout_shares: Shares = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
    knockout_draws: PositiveInt = 5
    grid_cases: PositiveInt = 6
    grid_parts: Annotated[tuple[Part, ...], AfterValidator(_each_once)] = ("KV",)
    fillers: Annotated[tuple[NonNegativeInt, ...], AfterValidator(rising)] = (0, 2, 8, 24)
    rules: Sizes = (1, 2, 3)
    dose_instances: PositiveInt = 1
    cot: bool = True
    cot_cases: PositiveInt = 4
    cot_tokens: PositiveInt = 48
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @property
    def sizes(self) -> list[int]:
        """Sizes of position sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
