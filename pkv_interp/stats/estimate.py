"""The one shape in which a figure is reported."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator


class Estimate(BaseModel):
    """A figure, its 95 % interval (unless another level was asked for) and what it rests on.

    ``ci_low`` and ``ci_high`` are both None only where a single family was measured: families are the unit of
    resampling, so one of them says nothing about how far another would lie.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: FiniteFloat
    ci_low: FiniteFloat | None = None
    ci_high: FiniteFloat | None = None
    n_families: int = Field(ge=1)
    n_instances: int = Field(ge=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError("ci_low and ci_high must both be numbers or both be null")
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ValueError(f"ci_low {self.ci_low} lies above ci_high {self.ci_high}")
        if self.ci_low is None and self.n_families > 1:
            raise ValueError(f"no interval although there are {self.n_families} families")
        if self.n_instances < self.n_families:
            raise ValueError(f"{self.n_instances} instances cannot come from {self.n_families} families")
        return self

    def __str__(self) -> str:
        if self.ci_low is None or self.ci_high is None:
            return f"{self.value:.3f} [one family, no interval]"
        return f"{self.value:.3f} [{self.ci_low:.3f}, {self.ci_high:.3f}]"
