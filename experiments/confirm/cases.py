"""Prompts of the confirmatory run: packaged discovery families that rank, and families that are scored."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments.confirm.settings import ConfirmSettings
from pkv_interp.agent import Episode, EpisodeSizes, designs, episode
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.tasks import Case, Family, Scenarios, Style, default_scenarios, field_case, polarity_case
from pkv_interp.tasks.checks import check_tokens
from pkv_interp.tasks.edits import edit_task
from pkv_interp.tasks.findings import refuse
from pkv_interp.tasks.quads import Quad, quad, quad_twin


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


@dataclass(frozen=True)
class Cases:
    """Prompts by what they are for.

    Attributes:
        ranking: polarity pairs of discovery families, which rank heads.
        ranking_quads: quads of them, which rank labels and train probes.
        ranking_edits: field pairs of them, whose attention ranks labels for edits.
        field, polarity: pairs that are scored.
        quads, scenes, episodes: the same.
        moved: field pairs with the field before the rule, whose policy is moved; ``moved_late`` with it after.
    """

    ranking: list[Case]
    ranking_quads: list[Quad]
    ranking_edits: list[Case]
    field: list[Laid]
    polarity: list[Laid]
    quads: list[QuadAndTwin]
    scenes: list[SceneAndPair]
    moved: list[Laid]
    moved_late: list[Laid]
    episodes: list[Play]

    @property
    def ends(self) -> list[Case]:
        """Cases on which the engine is checked: the first and the last that rank, and that are scored."""
        return [self.ranking[0], self.ranking[-1], self.field[0].case, self.polarity[-1].case]


def build_cases(settings: ConfirmSettings, tokenizer: Any) -> Cases:
    """Every prompt of the run.

    Raises:
        PkvError: the file has no family of the split ``confirm`` or no layout that serves, or prompts do not
            align under this tokenizer.
    """
    plan, packaged, world = settings.plan, default_scenarios(), world_of(settings.scenarios)
    refuse(check_tokens(world, tokenizer))
    sizes = plan.sizes
    ranking = _Maker(packaged, packaged.split("discovery"), settings, tokenizer, (None,))
    maker = _Maker(world, confirmed(world), settings, tokenizer, served(world))
    return Cases(
        ranking=[one.case for one in ranking.pairs(polarity_case, sizes.ranking_pairs)],
        ranking_quads=[ranking.quad(*at) for at in ranking.places(sizes.ranking_quads)],
        ranking_edits=[one.case for one in ranking.pairs(field_case, sizes.ranking_edits)],
        field=maker.pairs(field_case, sizes.pairs),
        polarity=maker.pairs(polarity_case, sizes.pairs),
        quads=[maker.with_twin(*at) for at in maker.places(sizes.quads)],
        scenes=[maker.scene(*at) for at in maker.places(sizes.edits)],
        moved=maker.pairs(field_case, sizes.splices),
        moved_late=maker.pairs(field_case, sizes.splices, late=True),
        episodes=maker.episodes(),
    )


def confirmed(world: Scenarios) -> Sequence[Family]:
    """The families that are scored.

    Raises:
        PkvError: there are fewer than two.
    """
    found = world.split("confirm")
    if len(found) < 2:
        raise PkvError(
            f"{world.source} has {len(found)} families of the split 'confirm'",
            "give at least two: intervals are over families",
        )
    return found


def served(world: Scenarios) -> tuple[str, ...]:
    """Layouts in words that have the field before the rule and can have it after, in the file's order.

    Raises:
        PkvError: there is none.
    """
    found = [one for one in world.layouts if not one.is_code and one.swaps and not one.field_late]
    if not found:
        raise PkvError(
            f"{world.source} has no layout in words with the field before the rule", "give one such layout"
        )
    return tuple(one.name for one in found)


#: A family, the number of an instance in it, and a layout.
Place = tuple[Family, int, str | None]


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes the prompts of some families."""

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
        sizes = self.settings.plan.sizes
        return Style(sizes.fillers, late, thinking=self.settings.model.thinking, layout=layout)

    def recipe(self, layout: str | None, late: bool = False) -> dict[str, Any]:
        style = self.style(layout, late)
        return {"seed": self.settings.seed, "style": style, "scenarios": self.world}

    def pairs(self, make: Callable[..., Case], number: int, late: bool = False) -> list[Laid]:
        return [
            Laid(make(family, index, self.tokenizer, **self.recipe(layout, late)), layout)
            for family, index, layout in self.places(number)
        ]

    def quad(self, family: Family, index: int, layout: str | None) -> Quad:
        return quad(family, index, self.tokenizer, **self.recipe(layout))

    def with_twin(self, family: Family, index: int, layout: str | None) -> QuadAndTwin:
        mine = self.quad(family, index, layout)
        twin = quad_twin(mine, family, index, self.tokenizer, **self.recipe(layout))
        return QuadAndTwin(mine, twin, layout)

    def scene(self, family: Family, index: int, layout: str | None) -> SceneAndPair:
        """An edit; its direction alternates over the instances of a family."""
        names = list(self.world.rules)
        recipe = self.recipe(layout) | {"wordings": (names[index % len(names)],)}
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
