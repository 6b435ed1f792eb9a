"""Cases on which each snapshot's mechanism is measured."""

from typing import Any

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.tasks import FAMILIES, Case, field_case, polarity_case


def mechanism_cases(settings: TrainGateSettings, tokenizer: Any) -> list[Case]:
    """One field pair and one polarity pair per instance and family."""
    return [
        make(family, index, tokenizer, seed=settings.seed)
        for family in FAMILIES
        for index in range(settings.mechanism_instances)
        for make in (field_case, polarity_case)
    ]
