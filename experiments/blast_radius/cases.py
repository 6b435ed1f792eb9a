"""Cases of the blast radius experiment."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from experiments.blast_radius.settings import BlastRadiusSettings
from pkv_interp.tasks import Case, Family, Style
from pkv_interp.tasks.field_classes import CLASSES, ClassCase, FieldClass, class_cases
from pkv_interp.tasks.pairs import load_pairs
from pkv_interp.tasks.session_fields import FLIPS, Flip


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


@dataclass(frozen=True)
class Instance:
    """One instance of a family, or one of a researcher's own pairs.

    Attributes:
        deciding: the flip that turns the conclusion, in the shortest prompt: a screen looks at its decisions.
        make_prompts: all its prompts.
    """

    deciding: Case
    make_prompts: Callable[[], list[FlipsOfPrompt]]

    @property
    def instance(self) -> str:
        """Its name."""
        return self.deciding.instance


def candidates(settings: BlastRadiusSettings, tokenizer: Any) -> list[Instance]:
    """Instances of every family that may be used; or a researcher's own pairs.

    Raises:
        PkvError: a family is unknown, or prompts do not align under this tokenizer.
    """
    if settings.pairs is not None:
        own = load_pairs(settings.pairs.path, tokenizer)
        return [Instance(case, partial(_of_own_pair, case)) for case in own]
    settings.checked_world(tokenizer)
    return [
        _instance(settings, tokenizer, family, index)
        for family in settings.chosen(settings.families)
        for index in range(settings.tried(settings.instances))
    ]


def _instance(settings: BlastRadiusSettings, tokenizer: Any, family: Family, index: int) -> Instance:
    flips: tuple[Flip, ...] = ("semantic",) if settings.only_turning else FLIPS

    def prompts_of(field_class: FieldClass) -> list[FlipsOfPrompt]:
        style = Style(chat=settings.chat, thinking=settings.model.thinking, layout=settings.layout)
        made = class_cases(
            family,
            index,
            tokenizer,
            field_class=field_class,
            fillers=settings.fillers,
            flips=flips,
            seed=settings.seed,
            style=style,
            scenarios=settings.world,
        )
        by_length = groupby(made, key=lambda flip: flip.n_fillers)
        return [FlipsOfPrompt(field_class, n_fillers, list(mine)) for n_fillers, mine in by_length]

    high = prompts_of("high")

    def prompts() -> list[FlipsOfPrompt]:
        if settings.only_turning:
            return high
        made = {"high": high}
        return [prompt for name in CLASSES for prompt in made.get(name) or prompts_of(name)]

    return Instance(min(deciding(high), key=lambda flip: flip.n_fillers).case, prompts)


def _of_own_pair(case: Case) -> list[FlipsOfPrompt]:
    return [_own_pair(case)]


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
