"""Cases of the controls experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.controls.settings import ControlsSettings
from pkv_interp.tasks import Case, Style
from pkv_interp.tasks.off_template import TEMPLATES, off_template_case
from pkv_interp.tasks.quads import Quad, quad, quad_twin


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
    """A quad and its twin: the same four decisions about another record."""

    quad: Quad
    twin: Quad

    @property
    def instance(self) -> str:
        """The quad's name."""
        return self.quad.instance


def build_quads(settings: ControlsSettings, tokenizer: Any) -> tuple[list[QuadAndTwin], list[QuadAndTwin]]:
    """Quads of discovery and of held-out families; families start at different wordings, then take turns.

    Raises:
        PkvError: a family or a value is unknown, or prompts do not align under this tokenizer.
    """
    world = settings.checked_world(tokenizer)
    world.choose(list(settings.values))  # a name that is no family is refused, not ignored
    discovery, held_out = (_quads(settings, names, tokenizer) for names in _splits(settings))
    return discovery, held_out


def cases_of(
    settings: ControlsSettings,
    discovery: Sequence[QuadAndTwin],
    held_out: Sequence[QuadAndTwin],
    tokenizer: Any,
) -> Cases:
    """All cases, without the twins, which only measuring needs.

    Args:
        settings: sizes.
        discovery: of `build_quads`.
        held_out: of `build_quads`.
        tokenizer: the model's.
    """
    scored = [both.quad for both in held_out]
    edited = [mine for i, mine in enumerate(scored) if i % settings.instances < settings.edit_instances]
    return Cases([both.quad for both in discovery], scored, edited, build_templates(settings, tokenizer))


def build_templates(settings: ControlsSettings, tokenizer: Any) -> list[Case]:
    """Field pairs of every family in every template outside the scenario's."""
    chosen = [name for names in _splits(settings) for name in names]
    return [
        off_template_case(
            template,
            family,
            index,
            tokenizer,
            seed=settings.seed,
            style=_style(settings),
            values=settings.values.get(family.name),
            scenarios=settings.world,
        )
        for template in TEMPLATES
        for family in settings.world.choose(chosen)
        for index in range(settings.template_instances)
    ]


def _quads(settings: ControlsSettings, names: Sequence[str], tokenizer: Any) -> list[QuadAndTwin]:
    out = []
    for shift, family in enumerate(settings.world.choose(names)):
        fixed: dict[str, Any] = {
            "seed": settings.seed,
            "style": _style(settings),
            "values": settings.values.get(family.name),
            "scenarios": settings.world,
        }
        for index in range(shift, shift + settings.instances):
            mine = quad(family, index, tokenizer, **fixed)
            out.append(QuadAndTwin(mine, quad_twin(mine, family, index, tokenizer, **fixed)))
    return out


def _splits(settings: ControlsSettings) -> tuple[Sequence[str], Sequence[str]]:
    return settings.split("discovery", settings.discovery), settings.split("held_out", settings.held_out)


def _style(settings: ControlsSettings) -> Style:
    return Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
