"""From logits and activations to the figures that are reported."""

from pkv_interp.metrics.decision import (
    action_of,
    argmax_token,
    is_action,
    kl_divergence,
    near_tie,
    pair_margin,
    token_margin,
)
from pkv_interp.metrics.deviation import cosine_distance, relative_l2
from pkv_interp.metrics.faithfulness import Faithfulness, distance_from_one, faithfulness, trapezoid_area
from pkv_interp.metrics.recovery import Recovery, recovery, recovery_by_site

__all__ = [
    "Faithfulness",
    "Recovery",
    "action_of",
    "argmax_token",
    "cosine_distance",
    "distance_from_one",
    "faithfulness",
    "is_action",
    "kl_divergence",
    "near_tie",
    "pair_margin",
    "recovery",
    "recovery_by_site",
    "relative_l2",
    "token_margin",
    "trapezoid_area",
]
