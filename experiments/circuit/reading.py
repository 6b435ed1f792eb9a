"""On held-out cases: aggregators, joint read heads and their control, faithfulness, decompositions."""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float

from experiments.circuit.settings import CircuitSettings
from experiments.circuit.sites import ChosenSites, aggregators
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.circuits import keep_only, sizes_of
from pkv_interp.measure.decomposition import direct_logits, write_shares
from pkv_interp.measure.heads import attention_to, joint_heads
from pkv_interp.measure.pairs import decode_margins, run_pair
from pkv_interp.tasks import Case


@dataclass(frozen=True)
class Reading:
    """One held-out case, scored with what discovery families chose; margins in logits.

    Attributes:
        top_aggregator, aggregators: with the KV of the best label's positions, and of all labels'.
        read_top, read_random: with the best heads of each size at the decision, and with random ones.
        keep_interchange, keep_mean: with all heads replaced but a circuit's, by share of heads kept.
        attention_aggregators: attention mass from the decision to the aggregators.
        direct_heads, direct_mlps: direct parts of the margin difference; ``direct_error`` is what they miss,
            relative to it.
        share_attention, share_mlp: of the note, cumulated over depth; ``share_error`` is what they miss.
    """

    top_aggregator: float
    aggregators: float
    read_top: Float[np.ndarray, " sizes"]
    read_random: Float[np.ndarray, "sizes draws"]
    keep_interchange: Float[np.ndarray, " shares"]
    keep_mean: Float[np.ndarray, " shares"]
    attention_aggregators: Float[np.ndarray, "layers heads"]
    direct_heads: Float[np.ndarray, "layers heads"]
    direct_mlps: Float[np.ndarray, " layers"]
    direct_error: float
    share_attention: Float[np.ndarray, " layers"]
    share_mlp: Float[np.ndarray, " layers"]
    share_error: float


def read(
    engine: Engine,
    case: Case,
    plan: ChosenSites,
    mean_outputs: Float[torch.Tensor, "layers heads d_head"],
    settings: CircuitSettings,
) -> Reading:
    """Score one held-out case with what discovery families chose.

    Args:
        engine: of the model.
        case: to score.
        plan: what discovery families chose.
        mean_outputs: of heads at the decision, over discovery cases: what stands in for a head in the mean
            ablation.
        settings: sizes and shares.
    """
    pair = run_pair(engine, case)
    top, joint = aggregators(case, plan)
    kv = decode_margins(engine, pair, [(KVPatch(top, 0),), (KVPatch(joint, 0),)])
    flat = [heads for draws in plan.random_readers for heads in draws]
    control = rearrange(
        joint_heads(engine, pair, flat), "(sizes draws) -> sizes draws", sizes=len(settings.sizes)
    )
    sizes = sizes_of(settings.shares, engine.spec.n_layers * engine.spec.n_heads)
    direct, shares = direct_logits(engine, pair), write_shares(engine, pair, joint)
    return Reading(
        top_aggregator=float(kv[0]),
        aggregators=float(kv[1]),
        read_top=joint_heads(engine, pair, [plan.readers[:k] for k in settings.sizes]),
        read_random=control,
        keep_interchange=keep_only(engine, pair, plan.readers, sizes),
        keep_mean=keep_only(engine, pair, plan.readers, sizes, mean_outputs.to(pair.clean.z)),
        attention_aggregators=attention_to(pair, joint),
        direct_heads=direct.heads,
        direct_mlps=direct.mlps,
        direct_error=direct.error / max(1.0, abs(direct.margin_gap)),
        share_attention=shares.attention,
        share_mlp=shares.mlp,
        share_error=shares.error,
    )
