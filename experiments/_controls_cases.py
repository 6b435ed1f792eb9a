"""Cases of the controls experiment, and what its discovery families chose."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.measure.ranking import rank_labels
from pkv_interp.tasks import DISCOVERY, HELD_OUT, Case, Style, families
from pkv_interp.tasks.off_template import TEMPLATES, off_template_case
from pkv_interp.tasks.quads import Quad, quad, quad_twin
from pkv_interp.tasks.sites import single_labels, site_labels

if TYPE_CHECKING:
    from experiments.controls import Chunk, ControlsSettings

#: Size of the position sets that the headline speaks of.
HEADLINE_K = 8


@dataclass(frozen=True)
class Item:
    """A quad and its twin: the same four decisions about another record."""

    quad: Quad
    twin: Quad

    @property
    def instance(self) -> str:
        return self.quad.instance


@dataclass(frozen=True)
class Plan:
    """What discovery families chose; held-out families are scored with it.

    Attributes:
        labels: of the aggregators, each at one position of every prompt, best first.
        notes: single-position recovery by label after the trigger, of polarity pairs.
        field_notes: the same after the field, of field pairs.
    """

    labels: tuple[str, ...]
    notes: dict[str, float]
    field_notes: dict[str, float]


def build_items(settings: "ControlsSettings", tokenizer: Any) -> dict[str, list[Item]]:
    """Quads of both splits; families start at different rule wordings, then take them in turn."""
    families(list(settings.values))  # a name that is no family is refused, not ignored
    out: dict[str, list[Item]] = {}
    for split, chosen in _names(settings).items():
        out[split] = []
        for shift, family in enumerate(families(chosen)):
            fixed: dict[str, Any] = {
                "seed": settings.seed,
                "style": _style(settings),
                "values": settings.values.get(family.name),
            }
            for index in range(shift, shift + settings.instances):
                mine = quad(family, index, tokenizer, **fixed)
                out[split].append(Item(mine, quad_twin(mine, family, index, tokenizer, **fixed)))
    return out


def build_templates(settings: "ControlsSettings", tokenizer: Any) -> list[Case]:
    """Field pairs of every family in every template outside the scenario's."""
    chosen = [name for names in _names(settings).values() for name in names]
    return [
        off_template_case(
            template,
            family,
            index,
            tokenizer,
            seed=settings.seed,
            style=_style(settings),
            values=settings.values.get(family.name),
        )
        for template in TEMPLATES
        for family in families(chosen)
        for index in range(settings.template_instances)
    ]


def _names(settings: "ControlsSettings") -> dict[str, Sequence[str]]:
    return {"discovery": settings.discovery or DISCOVERY, "held_out": settings.held_out or HELD_OUT}


def _style(settings: "ControlsSettings") -> Style:
    return Style(n_fillers=settings.n_fillers, chat=settings.chat, thinking=settings.model.thinking)


def note_labels(case: Case) -> tuple[str, ...]:
    """Labels of a case's notes, in order."""
    return site_labels(case.clean)[case.after_change : case.clean.decision]


def make_plan(settings: "ControlsSettings", items: dict[str, list[Item]], found: Sequence["Chunk"]) -> Plan:
    """Rank position labels on discovery families.

    An aggregator's label must stand for one position in every prompt of the run, so that residuals of
    different prompts can be compared; which labels do is a matter of the template, not of any score.

    Raises:
        PkvError: no label does.
    """
    ranked = {
        name: dict(
            rank_labels(
                [note_labels(getattr(item.quad, name)) for item in items["discovery"]],
                [np.asarray(f[name]["positions"]) - f[name]["corrupt"] for f in found],
                [f[name]["clean"] - f[name]["corrupt"] for f in found],
            )
        )
        for name in ("polarity", "field")
    }
    everywhere = set.intersection(
        *(
            single_labels(item.quad.polarity.clean, item.quad.polarity.after_change)
            for side in items.values()
            for item in side
        )
    )
    labels = [name for name in ranked["polarity"] if name in everywhere][: settings.n_aggregators]
    if not labels:
        raise PkvError("no position after the rule is found again in all prompts", "use fewer wordings")
    return Plan(tuple(labels), ranked["polarity"], ranked["field"])
