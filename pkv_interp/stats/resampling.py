"""How families are resampled: what every interval of this package is drawn with."""

from dataclasses import dataclass, replace
from typing import TypedDict

from pkv_interp.errors import PkvError

DRAWS = 10_000
#: For statistics over ranks, whose draws each sort anew.
RANK_DRAWS = 2_000


class ResamplingOptions(TypedDict, total=False):
    """Keywords that every function with an interval takes: the fields of ``Resampling``, all optional."""

    seed: int
    level: float
    draws: int


@dataclass(frozen=True)
class Resampling:
    """Settings of a bootstrap over families.

    Attributes:
        seed: of the draws; the same seed gives the same interval.
        level: of the interval, between 0 and 1.
        draws: number of resamples.

    Raises:
        PkvError: a level outside 0 and 1.
    """

    seed: int = 0
    level: float = 0.95
    draws: int = DRAWS

    def __post_init__(self) -> None:
        """Refuse a level that is no probability, such as 95 for 0.95."""
        if not 0.0 < self.level < 1.0:
            raise PkvError(f"the level {self.level} is not between 0 and 1", "give for example 0.95")


def resampling_of(options: ResamplingOptions, draws: int = DRAWS) -> Resampling:
    """The settings that a caller's keywords name; ``draws`` is the default of the function called."""
    return replace(Resampling(draws=draws), **options)
