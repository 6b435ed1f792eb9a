"""Settings of the weight edits."""

from typing import Annotated

from pydantic import AfterValidator, Field

from pkv_interp.run.editing_settings import Erratum
from pkv_interp.run.scenario_settings import SeveralFamilies
from pkv_interp.run.settings import ExperimentSettings
from pkv_interp.run.values import Count, Draws, ShareOrNone, Steps, Switch, Threshold, Tokens, rising


class WeightEditsSettings(ExperimentSettings):
    """Settings of this experiment; configs/weight_edits.yaml says what each means."""

    families: SeveralFamilies = None
    chat: Switch = True
    erratum: Erratum = "override"
    depths: Annotated[tuple[ShareOrNone, ...], Field(max_length=256), AfterValidator(rising)] = (0.1, 0.3)
    corpus_tokens: Tokens = 6000
    facts: Count = 2
    fact_relations: Count = 2
    discovery: Count = 2
    records: Count = 6
    others: Count = 3
    decisions: Count = 4
    value_steps: Steps = 20
    lora_steps: Steps = 20
    latency_repeats: Count = 3
    competence_threshold: Threshold = 0.8
    bootstrap_draws: Draws = 2000
