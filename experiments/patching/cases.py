"""Cases of the patching experiment, and the other prompts that they are measured with."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.patching.settings import PatchingSettings
from pkv_interp.tasks import Case, Family, Scenarios, Style, field_case
from pkv_interp.tasks.pairs import split_pairs
from pkv_interp.tasks.twins import same_conclusion_twin


@dataclass(frozen=True)
class Cases:
    """Field cases by what they are for.

    Attributes:
        discovery: they rank positions.
        held_out: they are scored; other instances of the same families.
        grid: those of ``held_out`` on which every cell is patched, each of another family.
        dosed: those of ``held_out`` on which cache states are compared as the prompt grows.
        chains: instances of ``held_out`` again, as prompts that ask for a reason first.

    Of a researcher's own pairs there are no ``dosed`` and no ``chains``: neither can be made without a rule.
    """

    discovery: list[Case]
    held_out: list[Case]
    grid: list[Case]
    dosed: list[Case]
    chains: list[Case]

    @property
    def changed(self) -> str:
        """Name of the span in which the prompts of a case differ."""
        return self.held_out[0].changed

    @property
    def ends(self) -> list[Case]:
        """The first and the last of both sides: those that the engine is checked on."""
        return [self.discovery[0], self.discovery[-1], self.held_out[0], self.held_out[-1]]


@dataclass(frozen=True)
class DoseCase:
    """One scored instance as prompts of growing length, and of growing repetition of the rule.

    Fillers are drawn before the record's number and the order of actions, so that prompts with other fillers
    may be about other records.

    Attributes:
        at: the instance by dose, named as `dose_names` does.
    """

    instance: str
    wording: str
    at: dict[str, Case]


@dataclass(frozen=True)
class Variants:
    """Prompts that measuring needs beside the cases; no summary reads them.

    Attributes:
        twins: same-conclusion twins of the held-out cases, by their instance; none of own pairs.
        doses: the dosed cases at every dose.
    """

    twins: dict[str, Case]
    doses: list[DoseCase]


@dataclass(frozen=True)
class _Recipe:
    """All that a case is built from besides its style and the tokenizer."""

    family: Family
    index: int
    split: str
    seed: int
    scenarios: Scenarios
    wording: str
    values: tuple[str, str] | None

    def case(self, style: Style, tokenizer: Any) -> Case:
        built = field_case(
            self.family,
            self.index,
            tokenizer,
            seed=self.seed,
            style=style,
            wordings=(self.wording,),
            values=self.values,
            scenarios=self.scenarios,
        )
        return replace(built, split=self.split)

    def twin(self, case: Case, style: Style, tokenizer: Any) -> Case:
        return same_conclusion_twin(
            case,
            self.index,
            tokenizer,
            seed=self.seed,
            style=style,
            wordings=(self.wording,),
            values=self.values,
            scenarios=self.scenarios,
        )


def dose_names(settings: PatchingSettings) -> dict[str, tuple[str, int]]:
    """Names of all doses, with what grows and how much of it there is."""
    growing = {"fillers": settings.fillers, "rules": settings.rules}
    return {f"{what}={n}": (what, n) for what, amounts in growing.items() for n in amounts}


def build_cases(settings: PatchingSettings, tokenizer: Any) -> tuple[Cases, Variants]:
    """Field cases that rank and that are scored, of the same families, and the prompts beside them.

    The j-th of both sides share a wording, so that their positions align; wordings go round over families.
    A researcher's own pairs stand in for all of them where they are given.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or the pairs are
            all of one split.
    """
    if settings.pairs is not None:
        return _own_pairs(settings, tokenizer), Variants({}, [])
    settings.checked_world(tokenizer)
    plain = Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
    ranked, scored = (_recipes(settings, side) for side in (0, 1))
    held_out = [recipe.case(plain, tokenizer) for recipe in scored]
    first = range(0, len(scored), settings.instances)  # one of each family
    dosed = [i for i in range(len(scored)) if i % settings.instances < settings.dose_instances]
    thinking = None if settings.model.thinking is None else True
    reason = replace(plain, reason_first=True, thinking=thinking)
    cases = Cases(
        discovery=[recipe.case(plain, tokenizer) for recipe in ranked],
        held_out=held_out,
        grid=[held_out[i] for i in first[: settings.grid_cases]],
        dosed=[held_out[i] for i in dosed],
        chains=[scored[i].case(reason, tokenizer) for i in first[: settings.cot_cases]]
        if settings.chained
        else [],
    )
    styles = {name: _dosed(plain, *dose) for name, dose in dose_names(settings).items()}
    return cases, Variants(
        twins={
            case.instance: recipe.twin(case, plain, tokenizer)
            for case, recipe in zip(held_out, scored, strict=True)
        },
        doses=[
            DoseCase(
                held_out[i].instance,
                held_out[i].wording,
                {name: scored[i].case(style, tokenizer) for name, style in styles.items()},
            )
            for i in dosed
        ],
    )


def _own_pairs(settings: PatchingSettings, tokenizer: Any) -> Cases:
    assert settings.pairs is not None
    discovery, held_out = split_pairs(settings.pairs.path, tokenizer)
    first = {case.family: case for case in reversed(held_out)}  # one of each family
    grid = [case for case in held_out if first[case.family] is case]
    return Cases(discovery, held_out, grid[: settings.grid_cases], dosed=[], chains=[])


def _dosed(style: Style, what: str, amount: int) -> Style:
    return replace(style, n_fillers=amount) if what == "fillers" else replace(style, n_rules=amount)


def _recipes(settings: PatchingSettings, side: int) -> list[_Recipe]:
    """Recipes of the ranking side (0) or of the scored one (1)."""
    world = settings.world
    world.choose(list(settings.values))  # a name that is no family is refused, not ignored
    wordings = list(world.rules)
    return [
        _Recipe(
            family,
            side * settings.instances + j,
            ("discovery", "held_out")[side],
            settings.seed,
            world,
            wordings[(at + j) % len(wordings)],
            settings.values.get(family.name),
        )
        for at, family in enumerate(settings.chosen(settings.families))
        for j in range(settings.instances)
    ]
