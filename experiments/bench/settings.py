"""Settings of the benchmark."""

from typing import Annotated

from pydantic import AfterValidator, Field, NonNegativeInt, PositiveInt

from pkv_interp.run.editing_settings import Methods
from pkv_interp.run.settings import ExperimentSettings, Sizes

#: What every edit is compared with; it is timed whether it is asked for or not.
FULL = "full_reprefill"


def _several(values: tuple[int, ...]) -> tuple[int, ...]:
    if len(values) < 2:
        raise ValueError("an exponent needs two lengths or more")
    return values


#: Lengths that an exponent is fitted over.
Lengths = Annotated[Sizes, AfterValidator(_several)]


class BenchSettings(ExperimentSettings):
    """Settings of this experiment; configs/bench.yaml says what each means."""

    threads: Annotated[int, Field(ge=1, le=1024)] | None = 1
    resume: bool = False
    n_fillers: NonNegativeInt = 56
    patches: PositiveInt = 64
    repeats: PositiveInt = 3
    grid_sample: PositiveInt = 64
    memory_patches: Sizes = (64, 256, 1024, 4096)
    edit_lengths: Lengths = (256, 512, 1024, 2048, 4096)
    edit_methods: Methods = (
        "field_only",
        "erratum",
        "field_erratum",
        "recompute@8",
        "epic",
        "hoist",
        "auto",
        "cacheblend@0.15",
        "suffix_recompute",
    )
    edit_added: Lengths = (16, 64, 256)

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that is timed, the full re-prefill last."""
        return (*(method for method in self.edit_methods if method != FULL), FULL)
