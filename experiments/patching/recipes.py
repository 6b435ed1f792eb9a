"""What a case of the patching experiment and the other prompts about its instance are built from."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.patching.settings import PatchingSettings
from pkv_interp.tasks import Case, Family, Scenarios, Style, field_case
from pkv_interp.tasks.places import Place, field_case_at
from pkv_interp.tasks.recipes import RecipeOptions
from pkv_interp.tasks.twins import same_conclusion_twin


@dataclass(frozen=True)
class Recipe:
    """All that a case is built from besides its style and the tokenizer."""

    family: Family
    index: int
    split: str
    seed: int
    scenarios: Scenarios
    wording: str
    values: tuple[str, str] | None

    def case(self, style: Style, tokenizer: Any) -> Case:
        """The case in a style."""
        built = field_case(self.family, self.index, tokenizer, **self._options(style))
        return replace(built, split=self.split)

    def at(self, place: Place, style: Style, tokenizer: Any) -> Case:
        """The case in a style, with the field at a place."""
        built = field_case_at(place, self.family, self.index, tokenizer, **self._options(style))
        return replace(built, split=self.split)

    def twin(self, case: Case, style: Style, tokenizer: Any) -> Case:
        """The same-conclusion twin of the case in that style."""
        return same_conclusion_twin(case, self.index, tokenizer, **self._options(style))

    def _options(self, style: Style) -> RecipeOptions:
        return {
            "seed": self.seed,
            "style": style,
            "wordings": (self.wording,),
            "values": self.values,
            "scenarios": self.scenarios,
        }


def recipes_of(settings: PatchingSettings, side: int) -> list[Recipe]:
    """Recipes of the ranking side (0) or of the scored one (1)."""
    world = settings.world
    world.choose(list(settings.values))  # a name that is no family is refused, not ignored
    wordings = list(world.rules)
    tried = settings.tried(settings.instances)
    return [
        Recipe(
            family,
            side * tried + j,
            ("discovery", "held_out")[side],
            settings.seed,
            world,
            wordings[(at + j) % len(wordings)],
            settings.values.get(family.name),
        )
        for at, family in enumerate(settings.chosen(settings.families))
        for j in range(tried)
    ]
