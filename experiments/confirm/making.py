"""How the prompts of the confirmatory run are made: wordings and layouts go round over instances."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from experiments.confirm.items import Laid, LaidQuad, Play, QuadAndTwin, SceneAndPair
from experiments.confirm.settings import ConfirmSettings
from pkv_interp.agent import Design, Episode, EpisodeSizes, Transcript, designs, episode
from pkv_interp.agent.transcript import field_span, policy_span
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.prompts.blocks import block_span
from pkv_interp.prompts.rendering import Renderer
from pkv_interp.tasks import Case, Family, Scenarios, Style, field_case
from pkv_interp.tasks.edits import edit_task
from pkv_interp.tasks.quads import Quad, quad, quad_twin
from pkv_interp.tasks.recipes import RecipeOptions

T = TypeVar("T")
#: The block of a prompt whose cache is moved.
MOVED = "policy"
#: Draws of a family that are tried for each instance that is wanted.
_DRAWS = 8


@dataclass(frozen=True)
class Place:
    """A family, the number of an instance in it, and a layout."""

    family: Family
    number: int
    layout: str | None


@dataclass(frozen=True, eq=False)
class Maker:
    """Makes the prompts of some families.

    Attributes:
        world: that the families are of.
        families: in order.
        settings: of the run.
        tokenizer: of the model.
        layouts: that go round over the instances of a family; None is the first one.
        remarks: on draws that make no prompts under this tokenizer; grows with what is made.
    """

    world: Scenarios
    families: Sequence[Family]
    settings: ConfirmSettings
    tokenizer: Any
    layouts: tuple[str | None, ...]
    remarks: list[str]

    def each(self, what: str, number: int, make: Callable[[Place, int], T]) -> list[T]:
        """Instances of each family; wordings and layouts go round, the wordings from another one in each.

        A draw that makes no prompts under this tokenizer is passed over for the next one, and a family of
        which none does is left out: whether one does is a matter of its tokens, not of any score.

        Args:
            what: is made, in words.
            number: of each family.
            make: of a place, and of how many were made before.

        Raises:
            PkvError: fewer than two families have any.
        """
        found: list[T] = []
        passed: dict[str, int] = {}
        there = 0
        for shift, family in enumerate(self.families):
            before = len(found)
            for j in range(_DRAWS * number):
                if len(found) - before == number:
                    break
                try:
                    found.append(
                        make(Place(family, shift + j, self.layouts[j % len(self.layouts)]), len(found))
                    )
                except PkvError:
                    passed[family.name] = passed.get(family.name, 0) + 1
            there += len(found) > before
        if passed:
            told = ", ".join(f"{name} {count}" for name, count in passed.items())
            fewer = number * len(self.families) - len(found)
            short = f", and {fewer} of {fewer + len(found)} are lacking" if fewer else ""
            self.remarks.append(f"{what}: draws whose tokens make none are passed over ({told}){short}")
        if there < min(2, len(self.families)):
            raise PkvError(
                f"{there} of {len(self.families)} families have {what} under this tokenizer",
                "intervals are over families: give values and actions that tokenise to one length",
            )
        return found

    def style(self, layout: str | None, late: bool = False) -> Style:
        """The style of prompts; ``late`` swaps field and rule."""
        sizes = self.settings.plan.sizes
        return Style(sizes.fillers, late, thinking=self.settings.model.thinking, layout=layout)

    def recipe(self, layout: str | None, late: bool = False) -> RecipeOptions:
        """What a case of a layout is made with."""
        style = self.style(layout, late)
        return {"seed": self.settings.seed, "style": style, "scenarios": self.world}

    def pairs(self, what: str, make: Callable[..., Case], number: int) -> list[Laid]:
        """Pairs of every family, each ``make`` of a family, an index and a tokenizer."""
        return self.each(what, number, lambda place, _: self._pair(make, place))

    def edited(self, number: int) -> list[Laid]:
        """Field pairs of every family, each with its edits to the trigger's value and away from it."""

        def make(place: Place, _: int) -> Laid:
            one = self._pair(field_case, place)
            return replace(one, edits=(self._scene(one, place, True), self._scene(one, place, False)))

        return self.each("field pairs", number, make)

    def moved(self, number: int, late: bool) -> list[Laid]:
        """Field pairs of every family whose policy is in one piece; ``late``: the field after the rule."""

        def make(place: Place, _: int) -> Laid:
            one = self._pair(field_case, place, late)
            for prompt in (one.case.clean, one.case.corrupt):
                block_span(prompt, MOVED)
            return one

        return self.each(f"pairs with the policy {'before' if late else 'after'} the field", number, make)

    def quads(self, number: int) -> list[LaidQuad]:
        """Quads of every family."""
        return self.each("quads", number, lambda place, _: LaidQuad(self._quad(place), place.layout))

    def twins(self, number: int) -> list[QuadAndTwin]:
        """Quads of every family, each with the same decisions about another record."""

        def make(place: Place, _: int) -> QuadAndTwin:
            mine = self._quad(place)
            recipe = self.recipe(place.layout)
            twin = quad_twin(mine, place.family, place.number, self.tokenizer, **recipe)
            return QuadAndTwin(mine, place.layout, twin)

        return self.each("quads with a twin", number, make)

    def episodes(self, number: int) -> list[Play]:
        """Episodes of every family, the session block after the policy, as in the experiment on agents."""
        sizes = self.settings.plan.sizes
        dealt = designs(number * len(self.families), sizes.episode_turns, self.settings.seed)

        def make(place: Place, made: int) -> Play:
            style = replace(self.style(place.layout, late=True), n_fillers=sizes.episode_fillers)
            one = Play(self._episode(place, dealt[made]), style)
            # What the run will look for in the prompt is looked for here, before a model is loaded.
            opening = Transcript.open(one.episode, style, self.world)
            policy_span(opening.prompt(self.tokenizer))
            field_span(opening, self.tokenizer)
            return one

        return self.each("episodes", number, make)

    def _pair(self, make: Callable[..., Case], place: Place, late: bool = False) -> Laid:
        recipe = self.recipe(place.layout, late)
        return Laid(make(place.family, place.number, self.tokenizer, **recipe), place.layout)

    def _quad(self, place: Place) -> Quad:
        return quad(place.family, place.number, self.tokenizer, **self.recipe(place.layout))

    def _scene(self, one: Laid, place: Place, matches: bool) -> SceneAndPair:
        recipe, style = self.recipe(place.layout), self.style(place.layout)
        recipe["wordings"] = (one.case.wording,)
        task = edit_task(place.family, place.number, self.tokenizer, matches=matches, **recipe)
        late = self.world.layout(style).field_late
        found = SceneAndPair(EditScene(task, style, place.number, late=late), one.case)
        renderer = Renderer(self.tokenizer, style.chat and task.chat, style.thinking, task.question)
        if not found.names(renderer.head(task.messages).prompt.ids):
            raise PkvError(
                f"the context of '{task.instance}' has other tokens than its prompt", "choose another layout"
            )
        return found

    def _episode(self, place: Place, design: Design) -> Episode:
        sizes, names = self.settings.plan.sizes, list(self.world.rules)
        return episode(
            place.family,
            place.number,
            design,
            self.tokenizer,
            sizes=EpisodeSizes(sizes.episode_turns, sizes.episode_fillers, sizes.episode_preface),
            wording=names[place.number % len(names)],
            seed=self.settings.seed,
            scenarios=self.world,
        )
