"""Cases of the circuit experiment."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.circuit.settings import CircuitSettings
from pkv_interp.tasks import Case, Style, polarity_case
from pkv_interp.tasks.pairs import split_pairs


@dataclass(frozen=True)
class Cases:
    """Polarity cases by what they are for.

    Attributes:
        discovery: they rank sites.
        held_out: they score them.
        sweep: those of ``discovery`` on which every head and MLP is patched during prefill.
        writing: those of ``held_out`` on which sets of write heads are scored.
    """

    discovery: list[Case]
    held_out: list[Case]
    sweep: list[Case]
    writing: list[Case]

    @property
    def all(self) -> list[Case]:
        """Discovery cases, then held-out ones."""
        return [*self.discovery, *self.held_out]

    @property
    def ends(self) -> list[Case]:
        """The first and the last of both splits: those that the engine is checked on."""
        return [self.discovery[0], self.discovery[-1], self.held_out[0], self.held_out[-1]]


def build_cases(settings: CircuitSettings, tokenizer: Any) -> Cases:
    """Polarity cases of both splits, or a researcher's own pairs.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or a split is
            empty.
    """
    if settings.pairs is not None:
        discovery, held_out = split_pairs(settings.pairs.path, tokenizer)
        per_family = 1
    else:
        discovery = _split(settings, "discovery", settings.discovery, tokenizer)
        held_out = _split(settings, "held_out", settings.held_out, tokenizer)
        per_family = settings.instances
    spread = np.linspace(0, len(discovery) - 1, settings.write_sweeps).round().astype(int)
    return Cases(
        discovery,
        held_out,
        sweep=[discovery[i] for i in sorted(set(spread.tolist()))],
        writing=[c for i, c in enumerate(held_out) if i % per_family < settings.write_instances],
    )


def _split(
    settings: CircuitSettings, split: str, chosen: tuple[str, ...] | None, tokenizer: Any
) -> list[Case]:
    """Families start at different rule wordings, then take them in turn."""
    world = settings.checked_world(tokenizer)
    world.choose(list(settings.values))  # a name that is no family is refused, not ignored
    style = Style(
        n_fillers=settings.n_fillers,
        chat=settings.chat,
        thinking=settings.model.thinking,
        layout=settings.layout,
    )
    return [
        polarity_case(
            family,
            index,
            tokenizer,
            seed=settings.seed,
            style=style,
            values=settings.values.get(family.name),
            scenarios=world,
        )
        for shift, family in enumerate(world.choose(settings.split(split, chosen)))
        for index in range(shift, shift + settings.instances)
    ]
