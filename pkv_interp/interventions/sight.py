"""What a token still sees under a row's knockouts: softmax over nothing has no answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.interventions.kinds import Knockout, Row


def require_sight(row: Row, length: int, windows: Sequence[int | None]) -> None:
    """Refuse knockouts that together leave some token nothing to attend to, not even itself.

    Args:
        row: interventions, checked one by one.
        length: tokens of the prompt.
        windows: per layer, the positions a token sees, itself included, or None.

    Raises:
        PkvError: naming the first such token and layer. Also where the model has attention sinks: a head
            that sees nothing but its sink puts out zeros, which no prompt makes it do.
    """
    knockouts = [edit for edit in row if isinstance(edit, Knockout)]
    # A token always sees itself, unless it is asked not to.
    if not any(query in edit.positions for edit in knockouts for query in (edit.queries or ())):
        return
    columns = np.arange(length)
    checked: set[tuple[int | None, tuple[int, ...]]] = set()
    for layer, window in enumerate(windows):
        active = tuple(i for i, edit in enumerate(knockouts) if edit.layers is None or layer in edit.layers)
        if not active or (window, active) in checked:
            continue
        checked.add((window, active))
        closed = np.zeros((length, length), dtype=bool)
        for i in active:
            edit = knockouts[i]
            closed[np.ix_(edit.blinded(length - 1), edit.positions)] = True
        seen = columns[None] <= columns[:, None]
        if window is not None:
            seen &= columns[:, None] - columns[None] < window
        blind = np.flatnonzero(~(seen & ~closed).any(1))
        if blind.size:
            raise PkvError(
                f"the token at position {blind[0]} would see nothing at all in layer {layer}",
                "leave it a position, for example itself",
            )
