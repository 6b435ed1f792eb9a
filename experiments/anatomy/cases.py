"""Cases of the anatomy experiment."""

from dataclasses import dataclass
from typing import Any

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.tasks import Case, Style
from pkv_interp.tasks.reworded import Reworded, reworded


@dataclass(frozen=True)
class Cases:
    """Field cases by what they are for.

    Attributes:
        discovery: they rank heads.
        held_out: everything is scored on them.
    """

    discovery: list[Case]
    held_out: list[Case]

    @property
    def ends(self) -> list[Case]:
        """The first and the last of both splits: those that the engine is checked on."""
        return [self.discovery[0], self.discovery[-1], self.held_out[0], self.held_out[-1]]


def build_cases(settings: AnatomySettings, tokenizer: Any) -> tuple[Cases, list[Reworded]]:
    """Field cases of both splits, and the held-out ones once more with their reworded twins.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or a split is
            empty.
    """
    ranked = _split(settings, "discovery", settings.discovery, settings.ranking_instances, tokenizer)
    scored = _split(settings, "held_out", settings.held_out, settings.instances, tokenizer)
    return Cases([one.case for one in ranked], [one.case for one in scored]), scored


def _split(
    settings: AnatomySettings, split: str, chosen: tuple[str, ...] | None, instances: int, tokenizer: Any
) -> list[Reworded]:
    """Families start at different rule wordings, then take them in turn."""
    world = settings.checked_world(tokenizer)
    world.choose(list(settings.values))  # a name that is no family is refused, not ignored
    style = Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
    return [
        reworded(
            family,
            index,
            tokenizer,
            seed=settings.seed,
            style=style,
            values=settings.values.get(family.name),
            scenarios=world,
        )
        for shift, family in enumerate(world.choose(settings.split(split, chosen)))
        for index in range(shift, shift + instances)
    ]
