"""Settings of the plan."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pkv_interp.run.settings import DEFAULT_MODEL, CommandSettings, Model
from pkv_interp.run.values import Count, CountOrNone, Megabytes, Threads, Tokens

#: Billions of multiply-adds a second, and microseconds.
Rate = Annotated[float, Field(strict=True, gt=0.0, le=1e9)]
Micro = Annotated[float, Field(strict=True, ge=0.0, le=1e9)]


class PlanSettings(CommandSettings):
    """Settings of this command; configs/plan.yaml says what each means."""

    model: Model = Field(default=DEFAULT_MODEL)  # pyright: ignore[reportAssignmentType]
    target: Literal["cpu", "gpu"] = "cpu"
    gmacs: Rate | None = None
    block_us: Micro | None = None
    memory_gib: Rate | None = None
    memory_budget_mb: Megabytes | None = None
    tokens: Tokens = 137
    notes: Tokens = 76
    threads: Threads | None = 1
    discovery: Count = 24
    held_out: Count = 24
    write_sweeps: CountOrNone = 4
    writing: CountOrNone = 8
    set_sizes: Count = 6
    random_draws: Count = 20
    shares: Count = 9

    @model_validator(mode="after")
    def _notes_in_the_prompt(self) -> Self:
        if self.notes > self.tokens - 2:
            raise ValueError("notes must be at least two fewer than tokens")
        return self
