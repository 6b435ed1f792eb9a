"""What is measured: edits of every length and place, pairs of two splits."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from experiments.programmable.hops import HOPS
from experiments.programmable.settings import ProgrammableSettings
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, alternating
from pkv_interp.tasks import Case, Family, Style, field_case, polarity_case
from pkv_interp.tasks.off_template import Template, off_template_case
from pkv_interp.tasks.quads import Quad, quad

#: Draws of a family that are tried for its pair outside the template.
_DRAWS = 8


@dataclass(frozen=True)
class Cases:
    """All of one run.

    Attributes:
        short: edits in the shortest prompts, of every held-out family, the field early and late.
        long: the same in longer prompts, of a few families.
        pairs: field pairs of held-out families, the field early.
        ranking: polarity pairs of discovery families, whose heads are ranked.
        attended: by place, field pairs of held-out families that rank positions and are not scored.
        hops: field pairs outside the template with none, one and two rules; a template is a case's wording.
        quads: of held-out families, the field early.
        closed: the first of ``pairs``.
        source: that edits are drawn from.
    """

    short: list[EditScene]
    long: list[EditScene]
    pairs: list[Case]
    ranking: list[Case]
    attended: dict[str, list[Case]]
    hops: list[Case]
    quads: list[Quad]
    closed: list[Case]
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
                # Of a family's next instance the other direction.
                found += alternating(part, first=instance % 2)
        return found

    first, *longer = settings.fillers
    style = Style(
        first, settings.laid_out.field_late, settings.chat, settings.model.thinking, layout=settings.layout
    )
    chosen = world.choose(settings.split("discovery", settings.discovery))
    recipe: dict[str, Any] = {"seed": settings.seed, "style": style, "scenarios": world}
    pairs = [field_case(family, source.n_ranking, tokenizer, **recipe) for family in source.families]
    return Cases(
        short=scenes(source, first),
        long=[scene for fillers in longer for scene in scenes(few, fillers)],
        pairs=pairs,
        ranking=[
            polarity_case(family, index, tokenizer, **recipe)
            for family in chosen
            for index in range(settings.head_pairs)
        ],
        attended={
            place: source.ranking_cases(source.style(first, late=late))
            for place, late in (("early", False), ("late", True))
        },
        hops=[case for template in HOPS for case in _hops(settings, template, source, tokenizer)],
        quads=[
            quad(family, source.n_ranking, tokenizer, **recipe)
            for family in source.families[: settings.probe_families]
        ],
        closed=pairs[: settings.path_families],
        source=source,
    )


def _hops(
    settings: ProgrammableSettings, template: Template, source: SceneSource, tokenizer: Any
) -> list[Case]:
    """A pair of each of the first families of which some draw makes one in a template.

    Raises:
        PkvError: none does under this tokenizer.
    """

    def made(family: Family) -> Iterator[Case]:
        style = Style(chat=settings.chat, thinking=settings.model.thinking, layout=settings.layout)
        for index in range(_DRAWS):
            with suppress(PkvError):
                yield off_template_case(
                    template,
                    family,
                    index,
                    tokenizer,
                    seed=settings.seed,
                    style=style,
                    scenarios=source.scenarios,
                )

    found = [case for family in source.families for case in islice(made(family), 1)][: settings.hop_families]
    if not found:
        raise PkvError(
            f"no draw of the template '{template}' makes a pair under this tokenizer",
            "name other families with held_out",
        )
    return found
