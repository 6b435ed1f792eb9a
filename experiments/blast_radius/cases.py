"""Cases of the blast radius experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from experiments.blast_radius.settings import BlastRadiusSettings
from pkv_interp.tasks import Case, Style
from pkv_interp.tasks.field_classes import CLASSES, ClassCase, FieldClass, class_cases
from pkv_interp.tasks.pairs import load_pairs


@dataclass(frozen=True)
class FlipsOfPrompt:
    """Every flip of the field of one prompt; they may share their oracle, so they are measured together."""

    field_class: FieldClass
    n_fillers: int
    flips: list[ClassCase]

    @property
    def instance(self) -> str:
        """Names the prompt among all classes and lengths of its instance."""
        return f"{self.field_class}/{self.n_fillers}/{self.flips[0].case.instance}"


def build_cases(settings: BlastRadiusSettings, tokenizer: Any) -> list[FlipsOfPrompt]:
    """Every family, instance, class and length, each with its flips; or a researcher's own pairs.

    Raises:
        PkvError: a family is unknown, or prompts do not align under this tokenizer.
    """
    if settings.pairs is not None:
        return [_own_pair(case) for case in load_pairs(settings.pairs.path, tokenizer)]
    world = settings.checked_world(tokenizer)
    style = Style(chat=settings.chat, thinking=settings.model.thinking, layout=settings.layout)
    return [
        FlipsOfPrompt(field_class, n_fillers, list(flips))
        for family in settings.chosen(settings.families)
        for index in range(settings.instances)
        for field_class in CLASSES
        for n_fillers, flips in groupby(
            class_cases(
                family,
                index,
                tokenizer,
                field_class=field_class,
                fillers=settings.fillers,
                seed=settings.seed,
                style=style,
                scenarios=world,
            ),
            key=lambda flip: flip.n_fillers,
        )
    ]


def _own_pair(case: Case) -> FlipsOfPrompt:
    """A pair as the only flip of its prompt: like a semantic one of class high, it turns the conclusion."""
    old, new = ("".join(side.tokens[slice(*case.change)]).strip() for side in (case.corrupt, case.clean))
    return FlipsOfPrompt("high", 0, [ClassCase("high", case.changed, "semantic", new, old, 0, case)])


def deciding(prompts: Sequence[FlipsOfPrompt]) -> list[ClassCase]:
    """Flips that turn the conclusion: semantic ones of class high."""
    return [flip for prompt in prompts for flip in prompt.flips if turns_the_conclusion(flip)]


def turns_the_conclusion(flip: ClassCase) -> bool:
    """Whether the two prompts of a flip call for different actions."""
    return flip.field_class == "high" and flip.flip == "semantic"
