"""Write heads and MLPs: components patched at aggregators during prefill, with the suffix computed again."""

from collections.abc import Sequence

import numpy as np
from einops import rearrange
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, MLPPatch, Row
from pkv_interp.measure.heads import Head, all_heads
from pkv_interp.measure.pairs import PairRun, rerun_margins
from pkv_interp.models.spec import ModelSpec


def write_rows(spec: ModelSpec, positions: Sequence[int]) -> list[Row]:
    """Rows of a write sweep: every head, layer by layer, and then every MLP, each at all the positions."""
    rows: list[Row] = [tuple(HeadPatch(la, h, 0, position=p) for p in positions) for la, h in all_heads(spec)]
    return rows + [tuple(MLPPatch(la, 0, position=p) for p in positions) for la in range(spec.n_layers)]


def write_sweep(engine: Engine, pair: PairRun, positions: Sequence[int]) -> Float[np.ndarray, "L H+1"]:
    """Margin after each head (columns 0..H-1) or MLP (column H) takes its clean output at all the positions.

    The patched component is the clean prompt's at those positions; everything later is recomputed from it.
    """
    spec = engine.spec
    values = rerun_margins(engine, pair, write_rows(spec, positions))
    n = spec.n_layers * spec.n_heads
    heads = rearrange(values[:n], "(layers heads) -> layers heads", layers=spec.n_layers)
    return np.concatenate([heads, values[n:, None]], axis=1)


def joint_writers(
    engine: Engine, pair: PairRun, sets: Sequence[Sequence[Head]], positions: Sequence[int]
) -> Float[np.ndarray, " sets"]:
    """Margin after sets of heads take their clean outputs together at all the positions."""
    return rerun_margins(
        engine,
        pair,
        [tuple(HeadPatch(la, h, 0, position=p) for la, h in heads for p in positions) for heads in sets],
    )


def joint_mlps(engine: Engine, pair: PairRun, layers: Sequence[int], positions: Sequence[int]) -> float:
    """Margin after the MLPs of the given layers take their clean outputs together at all the positions."""
    row: Row = tuple(MLPPatch(la, 0, position=p) for la in layers for p in positions)
    return float(rerun_margins(engine, pair, [row])[0])
