"""Cases on which each snapshot's mechanism is measured."""

from typing import Any

from experiments.train_gate.settings import TrainGateSettings
from pkv_interp.tasks import Case, Style, field_case, polarity_case


def mechanism_cases(settings: TrainGateSettings, tokenizer: Any) -> list[Case]:
    """One field pair and one polarity pair per instance and family.

    Raises:
        PkvError: prompts do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    style = Style(layout=settings.layout)
    return [
        make(family, index, tokenizer, seed=settings.seed, style=style, scenarios=world)
        for family in world.families
        for index in range(settings.mechanism_instances)
        for make in (field_case, polarity_case)
    ]
