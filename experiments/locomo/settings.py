"""Settings of the experiment on LoCoMo."""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from experiments.locomo.source import Talks
from pkv_interp.plain import LONGEST_LIST
from pkv_interp.run.settings import ExperimentSettings, Model
from pkv_interp.run.values import Count, Draws, Switch, Tokens, TokensOrNone, rising

#: Half width of the region of equivalence, as a share; written down before anything was measured.
MARGIN = 0.03
#: First tokens of every session that are run in their place.
Seams = Annotated[tuple[TokensOrNone, ...], Field(max_length=LONGEST_LIST), AfterValidator(rising)]


class LocomoSettings(ExperimentSettings):
    """Settings of this experiment; configs/locomo.yaml says what each means."""

    SUMMARY_ONLY: ClassVar[frozenset[str]] = frozenset({"bootstrap_draws"})

    # The embedded model as it is shipped: the adapter of the gate was trained to name actions.
    model: Model = Field(default="smollm2-135m-base")  # pyright: ignore[reportAssignmentType]
    path: Talks = None
    conversations: Count | None = 2
    sessions: Count | None = 4
    questions: Count | None = 20
    adversarial: Switch = False
    seams: Seams = (0, 4, 16)
    answer_tokens: Tokens = 64
    chat: Switch = True
    bootstrap_draws: Draws = 2000

    def more_than_there_are(self, talks: int) -> tuple[str, ...]:
        """A remark where more conversations are asked for than the data has."""
        return self.more_than(conversations=(talks, "in the data")) if self.conversations else ()

    @property
    def repairs(self) -> tuple[int, ...]:
        """Seams that are measured; the plain splice of the headlines is always among them."""
        return tuple(sorted({0, *self.seams}))
