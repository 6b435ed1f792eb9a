"""Attribution patching: a cheap screen of every site."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun


@dataclass(frozen=True)
class Screen:
    """First-order effects on the corrupt margin of every site, from one backward pass.

    Attributes:
        kv: per position of the notes, summed over layers.
        heads, mlps: at the decision token.
    """

    kv: Float[np.ndarray, " notes"]
    heads: Float[np.ndarray, "L H"]
    mlps: Float[np.ndarray, " L"]


def screen(engine: Engine, pair: PairRun) -> Screen:
    """Attribution patching of KV, heads and MLPs at the decision (Nanda 2023; Syed et al. 2310.10348)."""
    found = engine.attribute(pair.corrupt, pair.clean, pair.case.action_ids)
    kv = found.kv.sum(0).double().cpu().numpy()[list(pair.notes)]
    return Screen(kv, found.heads.double().cpu().numpy(), found.mlps.double().cpu().numpy())
