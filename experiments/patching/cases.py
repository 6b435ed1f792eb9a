"""Cases of the patching experiment, and the other prompts that they are measured with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.patching.recipes import Recipe, recipes_of
from experiments.patching.settings import PatchingSettings
from pkv_interp.run.screen import first_of_each
from pkv_interp.tasks import Case, Style
from pkv_interp.tasks.pairs import split_pairs


@dataclass(frozen=True)
class Cases:
    """Field cases by what they are for.

    Attributes:
        discovery: they rank positions.
        held_out: they are scored; other instances of the same families.
        grid: those of ``held_out`` on which every cell is patched, each of another family.
        dosed: those of ``held_out`` on which cache states are compared as prompts grow or the field moves.
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
    """One scored instance as prompts of growing length, with the rule repeated, or with the field moved.

    Fillers are drawn before the record's number and the order of actions, so that prompts with other fillers
    may be about other records.

    Attributes:
        at: the instance by dose, named as `dose_names` does, or by the place of its field.
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
        places: the dosed cases with the field at every place; none where it cannot move.
    """

    twins: dict[str, Case]
    doses: list[DoseCase]
    places: list[DoseCase]


def dose_names(settings: PatchingSettings) -> dict[str, tuple[str, int]]:
    """Names of all doses, with what grows and how much of it there is."""
    growing = {"fillers": settings.fillers, "rules": settings.rules}
    return {f"{what}={n}": (what, n) for what, amounts in growing.items() for n in amounts}


@dataclass(frozen=True)
class Tried:
    """Cases that may rank and cases that may be scored.

    Attributes:
        discovery, held_out: of the two sides.
        recipes: what each was built from, by its instance; none of own pairs.
    """

    discovery: list[Case]
    held_out: list[Case]
    recipes: dict[str, Recipe]


def candidates(settings: PatchingSettings, tokenizer: Any) -> Tried:
    """Field cases that may rank and that may be scored, of the same families, or a researcher's own pairs.

    The j-th of both sides share a wording, so that their positions align; wordings go round over families.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or the pairs are
            all of one split.
    """
    if settings.pairs is not None:
        return Tried(*split_pairs(settings.pairs.path, tokenizer), {})
    settings.checked_world(tokenizer)
    recipes: dict[str, Recipe] = {}
    sides: list[list[Case]] = []
    for side in (0, 1):
        made = [(recipe, recipe.case(_style(settings), tokenizer)) for recipe in recipes_of(settings, side)]
        recipes |= {case.instance: recipe for recipe, case in made}
        sides.append([case for _, case in made])
    return Tried(sides[0], sides[1], recipes)


def same_wording(case: Case, before: Mapping[str, Sequence[Case]]) -> bool:
    """Whether a case has a wording that was ranked: in its family, or in any where that has no ranking."""
    ranked = before["discovery"]
    own = [one for one in ranked if one.family == case.family]
    return case.wording in {one.wording for one in own or ranked}


def arrange(
    settings: PatchingSettings, tokenizer: Any, tried: Tried, used: Mapping[str, Sequence[Case]]
) -> tuple[Cases, Variants]:
    """The cases of a run by what they are for, and the prompts beside them.

    Args:
        settings: sizes.
        tokenizer: the model's.
        tried: of `candidates`.
        used: those of them that are used, by ``"discovery"`` and ``"held_out"``.

    Raises:
        PkvError: a prompt beside a case does not align with it under this tokenizer.
    """
    discovery, held_out = list(used["discovery"]), list(used["held_out"])
    first = first_of_each(held_out, 1)
    if settings.pairs is not None:
        return Cases(discovery, held_out, first[: settings.grid_cases], [], []), Variants({}, [], [])
    plain = _style(settings)
    dosed = first_of_each(held_out, settings.dose_instances)
    thinking = None if settings.model.thinking is None else True
    reason = replace(plain, reason_first=True, thinking=thinking)
    thinkers = first[: settings.cot_cases] if settings.chained else []
    styles = {name: _dosed(plain, *dose) for name, dose in dose_names(settings).items()}

    def at_doses(case: Case) -> dict[str, Case]:
        return {name: tried.recipes[case.instance].case(style, tokenizer) for name, style in styles.items()}

    crowded = replace(plain, n_fillers=settings.place_fillers)

    def at_places(case: Case) -> dict[str, Case]:
        recipe = tried.recipes[case.instance]
        return {place: recipe.at(place, crowded, tokenizer) for place in settings.moved}

    cases = Cases(
        discovery,
        held_out,
        grid=first[: settings.grid_cases],
        dosed=dosed,
        chains=[tried.recipes[case.instance].case(reason, tokenizer) for case in thinkers],
    )
    return cases, Variants(
        twins={case.instance: tried.recipes[case.instance].twin(case, plain, tokenizer) for case in held_out},
        doses=[DoseCase(case.instance, case.wording, at_doses(case)) for case in dosed],
        places=[DoseCase(case.instance, case.wording, at_places(case)) for case in dosed if settings.moved],
    )


def _style(settings: PatchingSettings) -> Style:
    return Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )


def _dosed(style: Style, what: str, amount: int) -> Style:
    return replace(style, n_fillers=amount) if what == "fillers" else replace(style, n_rules=amount)
