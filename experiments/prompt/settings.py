"""Settings of the experiment on one prompt."""

from typing import Self

from pydantic import model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.editing_settings import Erratum, Methods
from pkv_interp.run.scenario_settings import ScenarioSettings
from pkv_interp.run.values import Count, CountOrNone, Fillers, Name, Switch, Threshold

#: The edits whose decisions are those of the two prompts.
ENDS = ("stale", "full_reprefill")


class PromptSettings(ScenarioSettings):
    """Settings of this experiment; configs/prompt.yaml says what each means."""

    family: Name = "orders"
    instance: CountOrNone = 0
    n_fillers: Fillers = 2
    chat: Switch = True
    methods: Methods = (
        "stale",
        "field_only",
        "recompute@8",
        "recompute@32",
        "erratum",
        "suffix_recompute",
        "full_reprefill",
    )
    rank_instances: Count = 2
    erratum: Erratum = "tagged"
    competence_threshold: Threshold = 0.8

    @model_validator(mode="after")
    def _known_and_early(self) -> Self:
        if self.scenarios is not None and not self.scenarios.is_here:
            return self
        self.world.choose([self.family])
        if self.laid_out.field_late and not self.laid_out.swaps:
            raise PkvError(
                f"the layout '{self.laid_out.name}' has the field after the rule, and here it stands before",
                "choose the layout that has it before",
            )
        absent = [name for name in ENDS if name not in self.methods]
        if absent:
            raise PkvError(
                f"methods lack {absent[0]}, whose decision is held against the prompt's own",
                f"add {absent[0]} to methods",
            )
        return self

    @property
    def families(self) -> tuple[str, ...]:
        """The one family, as what draws scenes asks for it."""
        return (self.family,)
