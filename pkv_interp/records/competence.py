"""Whether a model does the task, and on which of its pairs figures about a mechanism are."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from pkv_interp.stats import Estimate

#: Scored families below which figures of screened pairs are not stated. Intervals are over families: with
#: five, all on one side, a sign-flip test has p = 2 / 32, and no effect could be told from none at 95 %.
LEAST_FAMILIES = 6
#: Two-way accuracy of a model that guesses.
GUESSING = 0.5


def above_guessing(accuracy: Estimate) -> bool:
    """Whether the whole interval of an accuracy lies above that of a model that guesses.

    Such a model is right on both sides of some pairs too, and selection alone would hide it.
    """
    return accuracy.ci_low is not None and accuracy.ci_low > GUESSING


class PairsScreened(BaseModel):
    """Pairs that were tried for scoring, and what became of them.

    Attributes:
        tried: pairs, unselected.
        right: of these, decided right on both sides.
        wrong: decided wrong on both sides, as a model that guesses decides as often as right.
        used: those that figures are over.
        families_tried, families_used: their families.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tried: int = Field(ge=1)
    right: int = Field(ge=0)
    wrong: int = Field(ge=0)
    used: int = Field(ge=0)
    families_tried: int = Field(ge=1)
    families_used: int = Field(ge=0)

    @model_validator(mode="after")
    def _none_from_nowhere(self) -> Self:
        if not (self.used <= self.right and self.right + self.wrong <= self.tried):
            raise ValueError(f"{self.used} used, {self.right} right and {self.wrong} wrong of {self.tried}")
        if not (
            self.families_used <= min(self.used, self.families_tried) and self.families_tried <= self.tried
        ):
            raise ValueError(
                f"{self.families_used} of {self.families_tried} families used, {self.used} pairs"
            )
        return self


class Competence(BaseModel):
    """Whether the model does the task at all, on clean prompts; recovery of an incompetent model is empty.

    Attributes:
        accuracy, per_value: of unselected pairs, always.
        screen: where figures are over pairs right on both sides: of how many. What passing takes is then not
            the threshold but `LEAST_FAMILIES` families, and an accuracy above guessing.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    accuracy: Estimate
    per_value: dict[str, FiniteFloat] = Field(default_factory=dict)
    threshold: FiniteFloat = Field(ge=0.0, le=1.0)
    passed: bool
    screen: PairsScreened | None = None

    @property
    def basis(self) -> str:
        """Of which pairs figures are, in words; empty where they are of unselected ones."""
        if self.screen is None:
            return ""
        pairs = self.screen
        return f"pairs right on both sides ({pairs.right} of {pairs.tried} tried, {pairs.used} used)"

    @model_validator(mode="after")
    def _passed_is_earned(self) -> Self:
        if self.screen is not None:
            families = self.screen.families_used
            if self.passed and families < LEAST_FAMILIES:
                raise ValueError(f"passed, but pairs of {families} families are used, below {LEAST_FAMILIES}")
            if self.passed and not above_guessing(self.accuracy):
                raise ValueError("passed, but the accuracy of unselected pairs is no better than guessing")
            return self
        lowest = min([self.accuracy.value, *self.per_value.values()])
        if self.passed and lowest < self.threshold:
            raise ValueError(f"passed, but the lowest accuracy {lowest} is below {self.threshold}")
        return self
