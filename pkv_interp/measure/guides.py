"""Does a cheap guide find the positions that matter? Joint patches of the positions that it ranks first."""

from collections.abc import Mapping, Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch, Row
from pkv_interp.measure.pairs import PairRun, decode_margins


def guided_margins(
    engine: Engine,
    pair: PairRun,
    guides: Mapping[str, Float[np.ndarray, " notes"]],
    sizes: Sequence[int],
) -> dict[str, Float[np.ndarray, " sizes"]]:
    """Margin after the notes that a guide puts first are patched together, for every guide and size.

    Args:
        engine: of the model that the pair was run on.
        pair: its notes are patched, from clean to corrupt.
        guides: by name, a score for each position of the notes; the highest come first, ties by position.
        sizes: how many positions; all of them where there are fewer.
    """
    notes = np.array(pair.notes)
    rows: list[Row] = []
    for scores in guides.values():
        order = notes[np.argsort(-np.asarray(scores, float), kind="stable")]
        rows += [(KVPatch(tuple(sorted(order[:k].tolist())), 0),) for k in sizes]
    margins = decode_margins(engine, pair, rows)
    found = rearrange(margins, "(guide size) -> guide size", guide=len(guides))
    return dict(zip(guides, found, strict=True))
