"""Settings of the circuit experiment."""

from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from pkv_interp.run.left_out import families_left_out, pairs_left_out
from pkv_interp.run.scenario_settings import PairSettings
from pkv_interp.run.screen_settings import ScreenSettings
from pkv_interp.run.split_settings import SplitSettings
from pkv_interp.run.values import Count, Draws, ShareOrNone, Sizes, Threshold

#: Size of the head sets in the headline.
HEADLINE_K = 12


class CircuitSettings(ScreenSettings, SplitSettings, PairSettings):
    """Settings of this experiment; configs/circuit.yaml says what each means."""

    SCENARIOS_ONLY: ClassVar[frozenset[str]] = PairSettings.SCENARIOS_ONLY | {"flip"}

    flip: Literal["trigger", "field"] = "trigger"
    instances: Count = 3
    write_sweeps: Count = 4
    write_instances: Count = 1
    n_aggregators: Count = 8
    top_k: Sizes = (1, 3, 5, 8, 12, 24)
    random_draws: Count = 20
    shares: Annotated[tuple[ShareOrNone, ...], Field(max_length=256)] = (
        0.0,
        0.005,
        0.01,
        0.02,
        0.05,
        0.1,
        0.2,
        0.5,
        1.0,
    )
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @field_validator("shares")
    @classmethod
    def _from_none_to_all(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in pairwise(shares))
        if len(shares) < 2 or shares[0] != 0.0 or shares[-1] != 1.0 or not rising:
            raise ValueError("shares must rise from 0 to 1")
        return shares

    def remarks(self) -> tuple[str, ...]:
        """See the base class."""
        if self.pairs is not None:
            return pairs_left_out(self)
        ranking = len(self.split("discovery", self.discovery)) * self.instances
        none_named = self.discovery is None and self.held_out is None
        few = self.more_than(
            write_sweeps=(ranking, "discovery cases"), write_instances=(self.instances, "cases a family")
        )
        return (*few, *(families_left_out(self) if none_named else ()))

    @property
    def sizes(self) -> list[int]:
        """Sizes of head sets; the headline's is always among them."""
        return sorted({*self.top_k, HEADLINE_K})
