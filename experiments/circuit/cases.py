"""Cases of the circuit experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.circuit.settings import CircuitSettings
from pkv_interp.run.screen import first_of_each
from pkv_interp.tasks import Case, field_case, polarity_case
from pkv_interp.tasks.pairs import split_pairs


@dataclass(frozen=True)
class Cases:
    """Pairs by what they are for.

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


def candidates(settings: CircuitSettings, tokenizer: Any) -> tuple[list[Case], list[Case]]:
    """Pairs that may rank and that may be scored: polarity pairs, field pairs, or a researcher's own.

    Raises:
        PkvError: a family or a value is unknown, prompts do not align under this tokenizer, or a split is
            empty.
    """
    if settings.pairs is not None:
        return split_pairs(settings.pairs.path, tokenizer)
    tried = settings.tried(settings.instances)
    build = polarity_case if settings.flip == "trigger" else field_case
    discovery, held_out = (
        settings.instances_of(split, tried, tokenizer, build) for split in ("discovery", "held_out")
    )
    return discovery, held_out


def arrange(settings: CircuitSettings, discovery: Sequence[Case], held_out: Sequence[Case]) -> Cases:
    """The cases of a run by what they are for."""
    spread = np.linspace(0, len(discovery) - 1, settings.write_sweeps).round().astype(int)
    few = held_out if settings.pairs is not None else first_of_each(held_out, settings.write_instances)
    return Cases(
        list(discovery),
        list(held_out),
        sweep=[discovery[i] for i in sorted(set(spread.tolist()))],
        writing=list(few),
    )
