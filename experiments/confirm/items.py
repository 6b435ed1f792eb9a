"""What the confirmatory run measures on: pairs, quads, edits and episodes, each with its layout."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.agent import Episode
from pkv_interp.measure.edit_scenes import EditScene
from pkv_interp.tasks import Case, Style
from pkv_interp.tasks.quads import Quad


@dataclass(frozen=True)
class SceneAndPair:
    """An edit, and the field pair of its prompt, whose labels name its positions."""

    scene: EditScene
    case: Case

    @property
    def instance(self) -> str:
        """The scene's name."""
        return self.scene.instance

    def names(self, context: Sequence[int]) -> bool:
        """Whether a context's tokens are those of the pair, but for its last one.

        Line breaks at the end of a context can be one token where nothing follows and two where the question
        does. Then the last position is another, and it ends what is cached: no label before it is moved.

        Args:
            context: the edit's prompt before its question, as ids.
        """
        stale = self.case.corrupt if self.scene.task.matches else self.case.clean
        before_last = len(context) - 1
        return tuple(context[:before_last]) == stale.ids[:before_last]


@dataclass(frozen=True)
class Laid:
    """A pair and the layout that it is in.

    Attributes:
        case: the pair.
        layout: its name; None is the first one.
        edits: of a field pair, the edit to the trigger's value and the edit away from it; none where no edit
            is made of the pair.
    """

    case: Case
    layout: str | None
    edits: tuple[SceneAndPair, ...] = ()

    @property
    def instance(self) -> str:
        """The case's name, after its wording: one instance may stand in several."""
        return f"{self.case.wording}/{self.case.instance}"

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.case.family

    @property
    def pairs(self) -> tuple[Case, ...]:
        """The pairs that are decided on."""
        return (self.case,)


@dataclass(frozen=True)
class LaidQuad:
    """A quad and the layout that it is in."""

    quad: Quad
    layout: str | None

    @property
    def instance(self) -> str:
        """The quad's name."""
        return self.quad.instance

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.quad.family

    @property
    def pairs(self) -> tuple[Case, ...]:
        """The pairs that are decided on."""
        return self.quad.polarity, self.quad.opposite


@dataclass(frozen=True)
class QuadAndTwin(LaidQuad):
    """A quad, and the same four decisions about another record."""

    twin: Quad


@dataclass(frozen=True)
class Play:
    """An episode and the layout that it is played in."""

    episode: Episode
    style: Style

    @property
    def instance(self) -> str:
        """The episode's name."""
        return self.episode.instance
