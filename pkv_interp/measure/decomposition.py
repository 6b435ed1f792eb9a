"""What writes the note: the residual difference at aggregators, split exactly; direct logit attribution."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float

from pkv_interp.engine import Engine
from pkv_interp.measure.pairs import PairRun


@dataclass(frozen=True)
class WriteShares:
    """Shares of the residual difference (clean minus corrupt) at aggregators, cumulated over depth.

    Attributes:
        attention: entry l: projection on the difference after block l of what attention wrote in blocks 0..l,
            over its squared norm.
        mlp: the same for MLPs.
        embedding: the same for the embedding (0 where the token itself is the same).
        error: largest miss of the three summed, as a share of the difference; and of the stream between
            attention and MLP, as a share of the stream. Parts are what the modules wrote and the whole is
            what the stream holds, so that a stream read at another place shows here.
    """

    attention: Float[np.ndarray, " L"]
    mlp: Float[np.ndarray, " L"]
    embedding: Float[np.ndarray, " L"]
    error: float


#: Of a difference smaller than this share of the stream, rounding is too large a part to be judged by it.
SMALL = 0.05


def write_shares(engine: Engine, pair: PairRun, positions: Sequence[int]) -> WriteShares:
    """Split the residual difference at the positions into attention, MLP and embedding, for every depth.

    Depths at which the prompts do not differ yet are reported as 0 shares.

    Args:
        engine: that ran the pair.
        pair: with the captures of the prefill.
        positions: of the notes that are split.
    """
    at = list(positions)
    sides = (pair.clean, pair.corrupt)

    def stream(name: str) -> list[Float[np.ndarray, "L P d"]]:
        return [side.need(name)[:, at].double().cpu().numpy() for side in sides]

    wrote = [[part.double().cpu().numpy() for part in engine.written(side, at)] for side in sides]
    resid, mid = stream("resid_all"), stream("resid_mid_all")
    attention, mlp = (wrote[0][part] - wrote[1][part] for part in (0, 1))
    total = resid[0][1:] - resid[1][1:]
    norm = np.einsum("lpd,lpd->l", total, total)
    live = norm > 1e-12
    safe = np.where(live, norm, 1.0)

    def share(part: Float[np.ndarray, "L P d"]) -> Float[np.ndarray, " L"]:
        return np.where(live, np.einsum("lpd,lpd->l", part, total) / safe, 0.0)

    shares = share(np.cumsum(attention, axis=0)), share(np.cumsum(mlp, axis=0))
    embedding = share(np.broadcast_to(resid[0][:1] - resid[1][:1], total.shape))
    size = np.sqrt(np.einsum("lpd,lpd->l", resid[0][1:], resid[0][1:]))
    weight = np.minimum(np.sqrt(norm) / (SMALL * size), 1.0)
    summed = (np.abs(shares[0] + shares[1] + embedding - 1) * weight)[live].max(initial=0.0)
    between = max(
        float(np.linalg.norm(m - r[:-1] - w[0]) / np.linalg.norm(m))
        for m, r, w in zip(mid, resid, wrote, strict=True)
    )
    return WriteShares(shares[0], shares[1], embedding, max(float(summed), between))


@dataclass(frozen=True)
class DirectLogits:
    """Direct effects on the margin difference between clean and corrupt, by component at the decision token.

    Attributes:
        heads, mlps: difference of each component's direct contribution to the margin, through the final norm.
        other: embedding and biases.
        margin_gap: the margin difference before any softcap, which the parts must sum to.
    """

    heads: Float[np.ndarray, "L H"]
    mlps: Float[np.ndarray, " L"]
    other: float
    margin_gap: float

    @property
    def error(self) -> float:
        """Absolute difference of the summed parts and the margin gap, in logits."""
        return abs(float(self.heads.sum() + self.mlps.sum() + self.other) - self.margin_gap)


def direct_logits(engine: Engine, pair: PairRun) -> DirectLogits:
    """Direct logit attribution of the margin difference, each prompt through its own frozen final norm."""
    spec = engine.spec
    sides = []
    for prefill in (pair.clean, pair.corrupt):
        parts = engine.contributions(prefill)
        heads = rearrange(parts.heads, "layer head d -> (layer head) d")
        stack = torch.cat([parts.embedding[None], parts.attention_bias, heads, parts.mlps])
        # A constant of the final norm or the unembedding cancels between the sides.
        direct = engine.direct_logit(stack, prefill.resid[-1], pair.case.action_ids, without_constant=True)
        final = engine.final_logits(prefill.resid[-1], pair.case.action_ids, softcap=False)
        sides.append(((direct[:, 0] - direct[:, 1]).double().cpu().numpy(), float(final[0] - final[1])))
    values, gap = sides[0][0] - sides[1][0], sides[0][1] - sides[1][1]
    n = spec.n_layers
    heads = rearrange(values[1 + n : -n], "(layer head) -> layer head", layer=n)
    return DirectLogits(heads, values[-n:], float(values[: 1 + n].sum()), gap)
