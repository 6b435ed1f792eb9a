"""Faithfulness: the clean decision when only a circuit's heads keep their outputs at the decision token."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from pkv_interp.engine import Engine, Prefill
from pkv_interp.interventions import HeadPatch, Row
from pkv_interp.measure.heads import Head, all_heads
from pkv_interp.measure.pairs import PairRun, margins


def keep_only(
    engine: Engine,
    pair: PairRun,
    order: Sequence[Head],
    sizes: Sequence[int],
    mean: Float[torch.Tensor, "L H d_head"] | None = None,
) -> Float[np.ndarray, " sizes"]:
    """Margin of the clean prompt when all heads but the first ``size`` of ``order`` are replaced.

    Replaced by the corrupt prompt's output (interchange) or, with ``mean``, by the mean (ablation). Size 0
    replaces every head, the full size none; MLPs run live (definition of faithfulness as in MIB, arXiv
    2504.13151).
    """
    donor: Prefill = pair.corrupt if mean is None else dataclasses.replace(pair.clean, z=mean)
    rows: list[Row] = []
    for size in sizes:
        kept = set(order[:size])
        rows.append(tuple(HeadPatch(la, h, 0) for la, h in all_heads(engine.spec) if (la, h) not in kept))
    return margins(engine.decode(pair.clean, rows, (donor,), pair.case.action_ids))


def sizes_of(shares: Sequence[float], n_heads: int) -> list[int]:
    """Head counts of the given shares of all heads, rounded up: a positive share keeps at least one."""
    return [int(np.ceil(share * n_heads - 1e-9)) for share in shares]
