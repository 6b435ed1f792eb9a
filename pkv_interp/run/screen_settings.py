"""Keys of experiments that can be run on pairs that the model is right on, on both sides."""

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import Count


class ScreenSettings(ExperimentSettings):
    """Which pairs are used.

    Attributes:
        screen: "both_sides": pairs that are decided right on both prompts; "none": the first ones.
        candidates: instances tried per family and split; read only where pairs are screened.
    """

    #: Keys that say how many instances of a family are used.
    PER_FAMILY: ClassVar[tuple[str, ...]] = ("instances",)

    screen: Literal["none", "both_sides"] = "none"
    candidates: Count = 6

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        # Of own pairs all are candidates, and instances are not counted.
        if self.screened and getattr(self, "pairs", None) is None:
            for name in self.PER_FAMILY:
                if self.candidates < getattr(self, name):
                    raise PkvError(
                        f"candidates={self.candidates} are fewer than {name}={getattr(self, name)}",
                        f"try at least as many candidates as {name} are used",
                    )
        return self

    @property
    def screened(self) -> bool:
        """Whether pairs are chosen by what is decided on them."""
        return self.screen != "none"

    def tried(self, used: int) -> int:
        """How many instances of a family to build where ``used`` of them are wanted."""
        return self.candidates if self.screened else used
