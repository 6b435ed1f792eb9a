"""Cases of the controls experiment."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from typing import Any

from experiments.controls.settings import ControlsSettings
from pkv_interp.errors import PkvError
from pkv_interp.run.screen import first_of_each
from pkv_interp.tasks import Case, Family
from pkv_interp.tasks.off_template import TEMPLATES, Template, off_template_case
from pkv_interp.tasks.quads import Quad, quad, quad_twin

#: Draws of a family that are tried for each instance of a template.
_DRAWS = 8


@dataclass(frozen=True)
class Cases:
    """Quads of both splits, and field pairs outside the template.

    Attributes:
        discovery: they rank sites, and layers and features are chosen on them.
        held_out: they are scored.
        edited: those of ``held_out`` whose residual streams are edited.
        templates: a template is a case's wording.
    """

    discovery: list[Quad]
    held_out: list[Quad]
    edited: list[Quad]
    templates: list[Case]

    @property
    def quads(self) -> list[Quad]:
        """Discovery quads, then held-out ones."""
        return [*self.discovery, *self.held_out]

    @property
    def ends(self) -> list[Case]:
        """Pairs of the first discovery quad and of the last held-out one: the engine is checked on them."""
        return [
            case for mine in (self.discovery[0], self.held_out[-1]) for case in (mine.polarity, mine.field)
        ]


@dataclass(frozen=True)
class QuadAndTwin:
    """A quad and its twin: the same four decisions about another record.

    Attributes:
        quad: the quad.
        draw_twin: draws the twin, which not every candidate needs.
    """

    quad: Quad
    draw_twin: Callable[[], Quad]

    @property
    def instance(self) -> str:
        """The quad's name."""
        return self.quad.instance

    @cached_property
    def twin(self) -> Quad:
        """The twin, drawn when it is first asked for."""
        return self.draw_twin()


def build_quads(settings: ControlsSettings, tokenizer: Any) -> tuple[list[QuadAndTwin], list[QuadAndTwin]]:
    """Quads of discovery and of held-out families that may be used.

    Raises:
        PkvError: a family or a value is unknown, or prompts do not align under this tokenizer.
    """
    tried = settings.tried(settings.instances)
    discovery, held_out = (
        settings.instances_of(split, tried, tokenizer, _with_twin) for split in ("discovery", "held_out")
    )
    return discovery, held_out


def _with_twin(family: Family, index: int, tokenizer: Any, **recipe: Any) -> QuadAndTwin:
    mine = quad(family, index, tokenizer, **recipe)
    return QuadAndTwin(mine, partial(quad_twin, mine, family, index, tokenizer, **recipe))


def cases_of(
    settings: ControlsSettings,
    discovery: Sequence[QuadAndTwin],
    held_out: Sequence[QuadAndTwin],
    tokenizer: Any,
) -> Cases:
    """All cases, without the twins, which only measuring needs.

    Args:
        settings: sizes.
        discovery: those of `build_quads` that are used.
        held_out: those of `build_quads` that are used.
        tokenizer: the model's.

    Raises:
        PkvError: a twin has no draw of its quad's length under this tokenizer.
    """
    for both in (*discovery, *held_out):
        _ = both.twin  # refused here and not in the middle of measuring
    scored = [both.quad for both in held_out]
    edited = first_of_each(scored, settings.edit_instances)
    return Cases([both.quad for both in discovery], scored, edited, build_templates(settings, tokenizer))


def build_templates(settings: ControlsSettings, tokenizer: Any) -> list[Case]:
    """Field pairs of every family in every template outside the scenario's.

    A template sets values where a layout of code may split them into more tokens, so draws that make no pair
    under this tokenizer are passed over. A family without any is left out of that template.

    Raises:
        PkvError: under this tokenizer no draw of any family makes a pair in some template.
    """
    made: list[Case] = []
    for template in TEMPLATES:
        cases = [
            case
            for family in settings.world.choose(settings.used_families())
            for case in islice(_aligned(settings, template, family, tokenizer), settings.template_instances)
        ]
        if not cases:
            raise PkvError(
                f"no draw of the template '{template}' makes a pair under this tokenizer",
                "choose another layout, or values and actions that tokenise to one length",
            )
        made.extend(cases)
    return made


def _aligned(
    settings: ControlsSettings, template: Template, family: Family, tokenizer: Any
) -> Iterator[Case]:
    """The pairs that a family's first draws in a template make."""
    for index in range(_DRAWS * settings.template_instances):
        with suppress(PkvError):
            yield off_template_case(
                template,
                family,
                index,
                tokenizer,
                seed=settings.seed,
                style=settings.style,
                values=settings.values.get(family.name),
                scenarios=settings.world,
            )


def left_out(cases: Cases, settings: ControlsSettings) -> list[str]:
    """A remark for every template of which some family has fewer pairs than were asked for."""
    families = [family.name for family in settings.world.choose(settings.used_families())]
    remarks = []
    for template in TEMPLATES:
        there = Counter(case.family for case in cases.templates if case.wording == template)
        if few := [f"{name} {there[name]}" for name in families if there[name] < settings.template_instances]:
            remarks.append(
                f"template {template}: of {settings.template_instances} pairs a family, "
                f"draws that align make fewer in {', '.join(few)}"
            )
    return remarks
