"""Settings of the weight edits."""

from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt

from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.scenario_settings import SeveralFamilies
from pkv_interp.run.settings import Draws, ExperimentSettings, Threshold, rising

Depth = Annotated[float, Field(ge=0.0, le=1.0)]


class WeightEditsSettings(ExperimentSettings):
    """Settings of this experiment; configs/weight_edits.yaml says what each means."""

    families: SeveralFamilies = None
    chat: bool = True
    erratum: Erratum = "override"
    depths: Annotated[tuple[Depth, ...], AfterValidator(rising)] = (0.1, 0.3)
    corpus_tokens: PositiveInt = 6000
    facts: PositiveInt = 2
    fact_relations: PositiveInt = 2
    discovery: PositiveInt = 2
    records: PositiveInt = 6
    others: PositiveInt = 3
    decisions: PositiveInt = 4
    value_steps: PositiveInt = 20
    lora_steps: PositiveInt = 20
    latency_repeats: PositiveInt = 3
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000
