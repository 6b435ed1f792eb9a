"""Settings of the weight edits."""

from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from pkv_interp.errors import PkvError
from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.scenario_settings import ScenarioSettings, SeveralFamilies
from pkv_interp.run.values import Count, Draws, ShareOrNone, Steps, Switch, Threshold, Tokens, rising


class WeightEditsSettings(ScenarioSettings):
    """Settings of this experiment; configs/weight_edits.yaml says what each means."""

    NOT_IN_CODE: ClassVar[str | None] = "edits of weights are stated in words, under two wordings of a rule"

    families: SeveralFamilies = None
    chat: Switch = True
    erratum: Erratum = "override"
    depths: Annotated[tuple[ShareOrNone, ...], Field(max_length=256), AfterValidator(rising)] = (0.1, 0.3)
    corpus_tokens: Tokens = 6000
    facts: Count = 2
    fact_relations: Count = 2
    discovery: Count = 2
    gate_records: Count = 8
    records: Count = 6
    others: Count = 3
    decisions: Count = 4
    value_steps: Steps = 20
    lora_steps: Steps = 20
    latency_repeats: Count = 3
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000

    @model_validator(mode="after")
    def _records_are_named_and_rules_reworded(self) -> Self:
        if self.scenarios is None or not self.scenarios.is_here:
            return self
        if len(self.world.rules) < 2:
            raise PkvError(
                f"{self.world.source} has one rule wording, and edits are also tested under another one",
                "give it a second one under rules",
            )
        for family in self.chosen(self.families):
            if family.request.count("{id}") != 1:
                raise PkvError(
                    f"the request of family '{family.name}' does not name the record once",
                    "write {id} into it: weight edits are keyed on the record",
                )
        return self
