"""Cases of the anatomy experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from experiments.anatomy.settings import AnatomySettings
from pkv_interp.tasks import Case, Family
from pkv_interp.tasks.corrected import Corrected, Corrections, corrections
from pkv_interp.tasks.recipes import RecipeOptions
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


def candidates(settings: AnatomySettings, tokenizer: Any) -> tuple[list[Reworded], list[Reworded]]:
    """Field cases that may rank and that may be scored, with their reworded twins.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or a split is
            empty.
    """
    used = {"discovery": settings.ranking_instances, "held_out": settings.instances}
    discovery, held_out = (
        settings.instances_of(split, settings.tried(n), tokenizer, reworded) for split, n in used.items()
    )
    return discovery, held_out


def corrected(settings: AnatomySettings, tokenizer: Any) -> dict[str, tuple[Corrected, ...]]:
    """Every held-out candidate with a line about its field, by its name.

    Raises:
        PkvError: prompts do not align under this tokenizer.
    """

    def build(family: Family, index: int, tokenizer: Any, **recipe: Unpack[RecipeOptions]) -> Corrections:
        return corrections(family, index, tokenizer, settings.errata, **recipe)

    tried = settings.tried(settings.instances)
    return {one.instance: one.of for one in settings.instances_of("held_out", tried, tokenizer, build)}


def arrange(discovery: Sequence[Reworded], held_out: Sequence[Reworded]) -> Cases:
    """The cases of a run by what they are for."""
    return Cases([one.case for one in discovery], [one.case for one in held_out])
