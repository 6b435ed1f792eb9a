"""An answer that states settings first: each value is read out of the cache, and the answer follows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.editing.decision import option_ids
from pkv_interp.finite import finite
from pkv_interp.prompts.readout import read_back_cue
from pkv_interp.prompts.rendering import Renderer


@dataclass(frozen=True, eq=False)
class Stated:
    """What a model says after it has stated settings.

    Attributes:
        values: as they were read, in the order of the settings.
        freely: the likeliest token of all was a value's, each time.
        logits: after the last line and the answer's cue, in float32.
    """

    values: tuple[str, ...]
    freely: bool
    logits: Float[Tensor, " vocab"]


def stated(
    runner: Runner, renderer: Renderer, begun: Computed, names: Sequence[str], values: Sequence[str], cue: str
) -> Stated:
    """Go on from the first setting's cue: a line ``name: value`` for each, then the answer's cue.

    A value is read by its first token (its only one where the notation wants that) and written out whole.

    Args:
        runner: the model.
        renderer: of its tokenizer.
        begun: what was run last ended in ``read_back_cue(names[0])``; where there are no names, in ``cue``.
        names: settings, in the order in which they are stated.
        values: that a setting can have, at least two.
        cue: opens the answer.

    Raises:
        PkvError: two values share that token, one of several tokens where the notation wants one, or logits
            that are not finite.
    """
    found: list[str] = []
    freely = True
    for name, following in zip(names, [*map(read_back_cue, names[1:]), cue], strict=False):
        opened = read_back_cue(name)
        ids = option_ids(renderer, opened, values)
        scores = finite(begun.logits[list(ids)], "the logits of a setting's values")
        freely = freely and int(begun.logits.argmax()) in ids
        found.append(values[int(torch.argmax(scores))])
        written = renderer.notation.written(found[-1], opened)
        begun = runner.extend(begun.cache, renderer.after(f"{written}\n{following}"))
    return Stated(tuple(found), freely, begun.logits)
