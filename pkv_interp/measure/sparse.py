"""A TopK sparse autoencoder of the residual stream, and clamps of its features at aggregators.

TopK: Gao et al. 2024 (arXiv 2406.04093). Shapes: n samples or prompts, A places in a prompt,
d = d_model, m features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu
from torch import Tensor

_BATCH = 256
_RATE = 3e-3


@dataclass(frozen=True, eq=False)
class SparseCoder:
    """A trained autoencoder over residuals that are centred and scaled to unit mean norm.

    Attributes:
        centre: mean training residual.
        scale: mean norm of the centred training residuals.
        encoder, bias, decoder: weights, one row per feature; rows of the decoder have unit norm.
        k: features that may be active in one sample.
    """

    centre: Float[np.ndarray, " d"]
    scale: float
    encoder: Float[np.ndarray, "m d"]
    bias: Float[np.ndarray, " m"]
    decoder: Float[np.ndarray, "m d"]
    k: int

    def scaled(self, residuals: Float[np.ndarray, "*n d"]) -> Float[Tensor, "*n d"]:
        """What the encoder reads."""
        return torch.from_numpy(
            ((np.asarray(residuals, float) - self.centre) / self.scale).astype(np.float32)
        )

    def codes(self, residuals: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n m"]:
        """Activations of the features."""
        return self._encoded(self.scaled(residuals)).numpy()

    def _encoded(self, inputs: Float[Tensor, "*n d"]) -> Float[Tensor, "*n m"]:
        return encode(inputs, torch.from_numpy(self.encoder).T, torch.from_numpy(self.bias), self.k)

    def unexplained(self, residuals: Float[np.ndarray, "n A d"]) -> float:
        """Share of the variance at each of A places that the reconstruction misses.

        The variance is about the mean of these residuals at each place, so that what tells places apart is
        no part of it. A reconstruction that is worse than that mean misses more than one.
        """
        wanted = self.scaled(residuals)
        missed = wanted - self._encoded(wanted) @ torch.from_numpy(self.decoder)
        spread = wanted - wanted.mean(0)
        return float(missed.pow(2).sum() / spread.pow(2).sum().clamp_min(1e-12))

    def clamp(
        self,
        residual: Float[np.ndarray, "A d"],
        features: Sequence[int],
        target: Float[np.ndarray, "A m"],
    ) -> Float[np.ndarray, "A d"]:
        """What to add to a residual so that the features take their target values, through the decoder.

        Args:
            residual: of one prompt at A places.
            features: indices of the clamped features.
            target: activations that they are to take.
        """
        at = list(features)
        change = (target - self.codes(residual))[:, at]
        return change @ self.decoder[at] * self.scale


def encode(
    inputs: Float[Tensor, "*n d"], encoder: Float[Tensor, "d m"], bias: Float[Tensor, " m"], k: int
) -> Float[Tensor, "*n m"]:
    """The k largest activations of each sample, negative ones cut to zero; all others are zero.

    Args:
        inputs: scaled residuals.
        encoder: weights.
        bias: one per feature.
        k: features that stay active.
    """
    before = inputs @ encoder + bias
    values, at = before.topk(min(k, before.shape[-1]), dim=-1)
    return torch.zeros_like(before).scatter(-1, at, values.relu())


def train_coder(
    residuals: Float[np.ndarray, "n d"], *, features: int, k: int, steps: int, seed: int
) -> SparseCoder:
    """Train on residual vectors with Adam; the same seed gives the same weights.

    Args:
        residuals: one sample a row.
        features: number of features.
        k: features that may be active in one sample.
        steps: Adam steps, of 256 samples each.
        seed: of weights and batches.
    """
    centre = residuals.mean(0, dtype=float)
    scale = max(float(np.linalg.norm(residuals - centre, axis=-1).mean()), 1e-12)
    samples = torch.from_numpy(((residuals - centre) / scale).astype(np.float32))
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(features, samples.shape[1], generator=generator)
    decoder = (start / start.norm(dim=1, keepdim=True)).requires_grad_()
    encoder = decoder.detach().T.clone().requires_grad_()
    bias = torch.zeros(features, requires_grad=True)
    optimiser = torch.optim.Adam([encoder, bias, decoder], lr=_RATE)
    for _ in range(steps):
        batch = samples[torch.randint(len(samples), (min(_BATCH, len(samples)),), generator=generator)]
        loss = (batch - encode(batch, encoder, bias, k) @ decoder).pow(2).sum(-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            decoder /= decoder.norm(dim=1, keepdim=True).clamp_min(1e-8)
    weights = [tensor.detach().numpy() for tensor in (encoder.T, bias, decoder)]
    return SparseCoder(centre, scale, weights[0], weights[1], weights[2], k)


def auc_by_family(
    scores: Float[np.ndarray, "prompts m"], first: Bool[np.ndarray, " prompts"], families: Sequence[str]
) -> Float[np.ndarray, "families m"]:
    """Area under the ROC curve of each feature for ``first`` against the rest, inside each family.

    Rows are families in the order of their first prompt. An area is the Mann-Whitney statistic over the
    number of pairs (scipy); features that never differ get one half.

    Args:
        scores: activations of every prompt and feature.
        first: prompts of one side.
        families: of every prompt.
    """
    names = np.asarray(families)
    rows = []
    for name in dict.fromkeys(families):
        yes, no = scores[(names == name) & first], scores[(names == name) & ~first]
        with np.errstate(invalid="ignore", divide="ignore"):  # the p value of a constant feature, unused
            found: Any = mannwhitneyu(yes, no, axis=0, method="asymptotic")
        rows.append(np.asarray(found.statistic) / (len(yes) * len(no)))
    return np.stack(rows)


@dataclass(frozen=True, eq=False)
class RankedFeatures:
    """What training families say about a coder's features at A places.

    Attributes:
        ranked: features that are ever active there, the best separator of the conclusions first.
        auc: of every feature, its activations summed over the places; mean over families.
        yes, no: mean activation under each conclusion.
    """

    ranked: list[int]
    auc: Float[np.ndarray, " m"]
    yes: Float[np.ndarray, "A m"]
    no: Float[np.ndarray, "A m"]

    def best(self, k: int) -> list[int]:
        """The k first; all of them where there are fewer."""
        return self.ranked[:k]

    def random_others(self, k: int, rng: np.random.Generator) -> list[int]:
        """As many other active features at random as `best` gives; none where there are too few."""
        size, rest = len(self.best(k)), self.ranked[k:]
        return [rest[int(i)] for i in rng.permutation(len(rest))[:size]] if len(rest) >= size else []


def rank_features(
    coder: SparseCoder,
    residuals: Float[np.ndarray, "prompts A d"],
    first: Bool[np.ndarray, " prompts"],
    families: Sequence[str],
) -> RankedFeatures:
    """Rank features by how far their area under the ROC curve is from one half.

    Args:
        coder: trained without families that are scored.
        residuals: of the prompts that rank.
        first: whether a prompt is of the first conclusion.
        families: of the prompts.
    """
    codes = coder.codes(residuals)
    auc = auc_by_family(codes.sum(1), first, families).mean(0)
    alive = np.flatnonzero((codes > 0).any((0, 1)))
    ranked = sorted(alive.tolist(), key=lambda f: (-abs(auc[f] - 0.5), f))
    return RankedFeatures(ranked, auc, codes[first].mean(0), codes[~first].mean(0))
