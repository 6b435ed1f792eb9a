"""Settings of the circuit experiment."""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from pkv_interp.run.left_out import families_left_out, pairs_left_out
from pkv_interp.run.scenario_settings import FieldValues, PairSettings, of_split
from pkv_interp.run.together import refuse_unused_values
from pkv_interp.run.values import AnyNames, Count, Draws, Fillers, ShareOrNone, Sizes, Switch, Threshold

#: Size of the head sets in the headline.
HEADLINE_K = 12


class CircuitSettings(PairSettings):
    """Settings of this experiment; configs/circuit.yaml says what each means."""

    discovery: AnyNames | None = None
    held_out: AnyNames | None = None
    values: FieldValues = {}
    instances: Count = 3
    write_sweeps: Count = 4
    write_instances: Count = 1
    n_fillers: Fillers = 2
    chat: Switch = True
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

    @field_validator("discovery", "held_out")
    @classmethod
    def _of_its_split(cls, names: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        return of_split(names, info, least=1)

    @field_validator("shares")
    @classmethod
    def _from_none_to_all(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        rising = all(a < b for a, b in pairwise(shares))
        if len(shares) < 2 or shares[0] != 0.0 or shares[-1] != 1.0 or not rising:
            raise ValueError("shares must rise from 0 to 1")
        return shares

    @model_validator(mode="after")
    def _values_are_used(self) -> Self:
        if self.values and (self.scenarios is None or self.scenarios.is_here):
            used = [*self.split("discovery", self.discovery), *self.split("held_out", self.held_out)]
            refuse_unused_values(self.values, used)
        return self

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
