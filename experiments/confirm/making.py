"""How the prompts of the confirmatory run are made: wordings and layouts go round over instances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.confirm.settings import ConfirmSettings
from pkv_interp.agent import Episode, EpisodeSizes, designs, episode
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.tasks import Case, Family, Scenarios, Style, field_case
from pkv_interp.tasks.edits import edit_task
from pkv_interp.tasks.quads import Quad, quad, quad_twin
from pkv_interp.tasks.recipes import RecipeOptions


@dataclass(frozen=True)
class QuadAndTwin:
    """A quad, and the same four decisions about another record."""

    quad: Quad
    twin: Quad
    layout: str | None

    @property
    def instance(self) -> str:
        """The quad's name."""
        return self.quad.instance


@dataclass(frozen=True)
class Laid:
    """A pair and the layout that it is in."""

    case: Case
    layout: str | None

    @property
    def instance(self) -> str:
        """The case's name, after its wording: one instance may stand in several."""
        return f"{self.case.wording}/{self.case.instance}"


@dataclass(frozen=True)
class SceneAndPair:
    """An edit, and the field pair of its prompt, whose labels name its positions."""

    scene: EditScene
    case: Case

    @property
    def instance(self) -> str:
        """The scene's name."""
        return self.scene.instance


@dataclass(frozen=True)
class Play:
    """An episode and the layout that it is played in."""

    episode: Episode
    style: Style

    @property
    def instance(self) -> str:
        """The episode's name."""
        return self.episode.instance


#: A family, the number of an instance in it, and a layout.
Place = tuple[Family, int, str | None]


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the prompts of some families.

    Attributes:
        world: that the families are of.
        families: in order.
        settings: of the run.
        tokenizer: of the model.
        layouts: that go round over the instances of a family; None is the first one.
    """

    world: Scenarios
    families: Sequence[Family]
    settings: ConfirmSettings
    tokenizer: Any
    layouts: tuple[str | None, ...]

    def places(self, number: int) -> list[Place]:
        """Instances of each family; wordings and layouts go round, the wordings from another one in each."""
        return [
            (family, shift + j, self.layouts[j % len(self.layouts)])
            for shift, family in enumerate(self.families)
            for j in range(number)
        ]

    def style(self, layout: str | None, late: bool = False) -> Style:
        """The style of prompts; ``late`` puts the field after the rule."""
        sizes = self.settings.plan.sizes
        return Style(sizes.fillers, late, thinking=self.settings.model.thinking, layout=layout)

    def recipe(self, layout: str | None, late: bool = False) -> RecipeOptions:
        """What a case of a layout is made with."""
        style = self.style(layout, late)
        return {"seed": self.settings.seed, "style": style, "scenarios": self.world}

    def pairs(self, make: Callable[..., Case], number: int, late: bool = False) -> list[Laid]:
        """Pairs of every family, each ``make`` of a family, an index and a tokenizer."""
        return [
            Laid(make(family, index, self.tokenizer, **self.recipe(layout, late)), layout)
            for family, index, layout in self.places(number)
        ]

    def quad(self, family: Family, index: int, layout: str | None) -> Quad:
        """One quad."""
        return quad(family, index, self.tokenizer, **self.recipe(layout))

    def with_twin(self, family: Family, index: int, layout: str | None) -> QuadAndTwin:
        """One quad, and the same decisions about another record."""
        mine = self.quad(family, index, layout)
        twin = quad_twin(mine, family, index, self.tokenizer, **self.recipe(layout))
        return QuadAndTwin(mine, twin, layout)

    def scene(self, family: Family, index: int, layout: str | None) -> SceneAndPair:
        """An edit; its direction alternates over the instances of a family."""
        names = list(self.world.rules)
        recipe = self.recipe(layout)
        recipe["wordings"] = (names[index % len(names)],)
        matches = (index - self.families.index(family)) % 2 == 0
        task = edit_task(family, index, self.tokenizer, matches=matches, **recipe)
        case = field_case(family, index, self.tokenizer, **recipe)
        return SceneAndPair(EditScene(task, self.style(layout), index, late=False), case)

    def episodes(self) -> list[Play]:
        """Episodes of every family, the session block after the policy, as in the experiment on agents."""
        sizes, names = self.settings.plan.sizes, list(self.world.rules)
        places = self.places(sizes.episodes)
        dealt = designs(len(places), sizes.episode_turns, self.settings.seed)
        how = EpisodeSizes(sizes.episode_turns, sizes.episode_fillers, sizes.episode_preface)
        return [
            Play(
                episode(
                    family,
                    index,
                    design,
                    self.tokenizer,
                    sizes=how,
                    wording=names[index % len(names)],
                    seed=self.settings.seed,
                    scenarios=self.world,
                ),
                replace(self.style(layout, late=True), n_fillers=sizes.episode_fillers),
            )
            for (family, index, layout), design in zip(places, dealt, strict=True)
        ]
