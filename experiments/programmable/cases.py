"""What is measured: edits of every length and place, pairs of two splits."""

from dataclasses import dataclass, replace
from typing import Any

from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, alternating
from pkv_interp.tasks import Case, Style, field_case, polarity_case


@dataclass(frozen=True)
class Cases:
    """All of one run.

    Attributes:
        short: edits in the shortest prompts, of every held-out family, the field early and late.
        long: the same in longer prompts, of a few families.
        pairs: field pairs of held-out families, the field early.
        ranking: polarity pairs of discovery families, whose heads are ranked.
        attended: by place, field pairs of held-out families that rank positions and are not scored.
        source: that edits are drawn from.
    """

    short: list[EditScene]
    long: list[EditScene]
    pairs: list[Case]
    ranking: list[Case]
    attended: dict[str, list[Case]]
    source: SceneSource

    def of_place(self, place: str, number: int | None = None) -> list[EditScene]:
        """Short edits with the field ``early`` or ``late``, the first so many of them."""
        return [scene for scene in self.short if scene.place == place][:number]


def build_cases(settings: ProgrammableSettings, tokenizer: Any) -> Cases:
    """Draw all of them.

    Raises:
        PkvError: values of a family do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    source = SceneSource.of(settings, tokenizer)
    few = replace(source, families=source.families[: settings.long_families])

    def scenes(mine: SceneSource, fillers: int) -> list[EditScene]:
        found: list[EditScene] = []
        for late in (False, True):
            both = mine.scenes(mine.style(fillers, late=late), settings.instances)
            for instance in range(settings.instances):
                part = [one for one in both if one.index == mine.n_ranking + instance]
                # Of each family one direction, in turn; of its next instance the other one.
                turned = [one for pair in zip(part[1::2], part[::2], strict=True) for one in pair]
                found += alternating(turned if instance % 2 else part)
        return found

    first, *longer = settings.fillers
    style = Style(
        first, settings.laid_out.field_late, settings.chat, settings.model.thinking, layout=settings.layout
    )
    chosen = world.choose(settings.split("discovery", settings.discovery))
    recipe: dict[str, Any] = {"seed": settings.seed, "style": style, "scenarios": world}
    return Cases(
        short=scenes(source, first),
        long=[scene for fillers in longer for scene in scenes(few, fillers)],
        pairs=[field_case(family, source.n_ranking, tokenizer, **recipe) for family in source.families],
        ranking=[
            polarity_case(family, index, tokenizer, **recipe)
            for family in chosen
            for index in range(settings.head_pairs)
        ],
        attended={
            place: source.ranking_cases(source.style(first, late=late))
            for place, late in (("early", False), ("late", True))
        },
        source=source,
    )
