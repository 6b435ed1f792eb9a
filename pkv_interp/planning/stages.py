"""The stages of the circuit protocol as work: prefills, packed decisions and packed suffixes."""

from __future__ import annotations

from dataclasses import dataclass

from pkv_interp.planning.shape import Shape
from pkv_interp.planning.work import Work, decode_work, prefill_work

#: A backward pass computes about twice what its forward does.
_BACKWARD = 2
#: Prompts of a pair whose cache states are patched: changed span, notes, both, and itself.
_STATES = 4


@dataclass(frozen=True)
class Sizes:
    """How much is asked of a run.

    Attributes:
        tokens: of a prompt.
        notes: tokens after the changed span, all of which are patched alone.
        discovery: pairs that rank sites.
        held_out: pairs that score them.
        sweeps: discovery pairs on which every head and MLP is patched during prefill.
        writing: held-out pairs on which sets of writers are scored.
        set_sizes: sizes of head sets.
        draws: random sets of each size.
        shares: sizes of kept circuits.
        most: packed tokens in one forward.
    """

    tokens: int
    notes: int
    discovery: int
    held_out: int
    sweeps: int
    writing: int
    set_sizes: int
    draws: int
    shares: int
    most: int = 512


@dataclass(frozen=True)
class StageWork:
    """One stage: the pairs that it measures, and the work of each."""

    name: str
    pairs: int
    each: Work

    @property
    def total(self) -> Work:
        """Of all pairs."""
        return self.each.times(self.pairs)


def circuit_stages(shape: Shape, sizes: Sizes) -> list[StageWork]:
    """The stages of ``experiments.circuit``, in order.

    Of a pair's second prompt only the tokens from the change on are run. Rows whose first edit lies in a
    layer begin there, so that sweeps over layers go through half of them on average. Suffixes are taken to
    begin at the first note: those that begin later are cheaper.
    """
    layers, heads, notes = shape.n_layers, shape.n_heads, sizes.notes
    suffix = notes + 2
    pair = prefill_work(shape, sizes.tokens) + prefill_work(shape, suffix, sizes.tokens - suffix)

    def decide(rows: int, swept: bool = False) -> Work:
        return decode_work(shape, rows, sizes.tokens, most=sizes.most, swept=swept)

    def again(rows: int, swept: bool = False) -> Work:
        return decode_work(shape, rows, sizes.tokens, tokens=notes, most=sizes.most, swept=swept)

    first_order = decide(1).times(1 + _BACKWARD)
    sites = pair + first_order + decide(_STATES) + decide(notes) + decide(layers * heads, swept=True)
    sites += decide(layers, swept=True)
    sets = sizes.set_sizes
    reading = pair + decide(2) + decide(sets) + decide(sets * sizes.draws) + decide(sizes.shares).times(2)
    sweep = pair + again(layers * (heads + 1), swept=True).times(2)
    writing = pair + (again(sets + sizes.draws + 1) + again(1)).times(2)
    return [
        StageWork("sites", sizes.discovery + sizes.held_out, sites),
        StageWork("reading", sizes.held_out, reading),
        StageWork("write sweep", sizes.sweeps, sweep),
        StageWork("writing", sizes.writing, writing),
    ]
