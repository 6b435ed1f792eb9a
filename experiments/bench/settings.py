"""Settings of the benchmark."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pkv_interp.plain import LONGEST_LIST
from pkv_interp.run.editing_settings import Methods
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import (
    Count,
    Fillers,
    Lengths,
    Sizes,
    Switch,
    Threads,
    each_once,
    rising,
)

Part = Literal["patches", "edits", "writes", "peers", "growth", "half", "plans", "shares"]
#: What is measured, in the order of the list.
PARTS: tuple[Part, ...] = ("patches", "edits", "writes", "peers", "growth", "half", "plans", "shares")

#: What every edit is compared with; it is timed whether it is asked for or not.
FULL = "full_reprefill"


#: Of random models, whose heads are 64 wide.
Width = Annotated[int, Field(strict=True, ge=64, le=8192, multiple_of=64)]
Widths = Annotated[tuple[Width, ...], Field(max_length=LONGEST_LIST), AfterValidator(rising)]
#: Prompts of the random model, which serves so many positions.
ShareLengths = Annotated[
    tuple[Annotated[int, Field(strict=True, ge=64, le=16384)], ...],
    Field(max_length=LONGEST_LIST),
    AfterValidator(rising),
]


class BenchSettings(ExperimentSettings):
    """Settings of this experiment; configs/bench.yaml says what each means."""

    threads: Threads | None = 1
    parts: Annotated[tuple[Part, ...], Field(max_length=len(PARTS)), AfterValidator(each_once)] = PARTS
    resume: Switch = False
    n_fillers: Fillers = 56
    patches: Count = 64
    repeats: Count = 3
    grid_sample: Count = 64
    memory_patches: Sizes = (64, 256, 1024, 4096)
    edit_lengths: Lengths = (256, 512, 1024, 2048)
    edit_methods: Methods = (
        "field_only",
        "erratum",
        "field_erratum",
        "recompute@8",
        "epic",
        "hoist",
        "auto",
        "cacheblend@0.15",
    )
    edit_added: Lengths = (16, 64, 256)
    write_fillers: Fillers = 2
    write_positions: Count = 8
    write_sample: Count = 8
    write_repeats: Count = 2
    peer_cells: Count = 16384
    peer_reruns: Count = 16
    peer_sample: Count = 16
    peer_prompts: Count = 1
    growth_tokens: Lengths = (128, 256, 512, 1024, 2048, 4096, 8192)
    growth_cases: Lengths = (1, 2, 4, 8)
    growth_shapes: Lengths = (2, 4, 8, 16)
    half_lengths: Lengths = (480, 940)
    half_width: Width = 896
    plan_widths: Widths = (128, 256, 512)
    plan_tokens: Annotated[int, Field(strict=True, ge=16, le=4096)] = 256
    share_lengths: ShareLengths = (1024, 4096, 8192)

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that is timed, the full re-prefill last."""
        return (*(method for method in self.edit_methods if method != FULL), FULL)
