"""A TopK sparse autoencoder of the residual stream at aggregators, and clamps of its features.

TopK: Gao et al. 2024 (arXiv 2406.04093). Shapes: N samples, A aggregators, d = d_model, m features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu
from torch import Tensor

_BATCH = 256
_RATE = 3e-3


@dataclass(frozen=True, eq=False)
class SparseCoder:
    """A trained autoencoder over residuals that are centred by aggregator and scaled to unit mean norm.

    Attributes:
        centre: mean training residual of each aggregator.
        scale: mean norm of the centred residuals.
        encoder, bias, decoder: weights; rows of the decoder have unit norm.
        k: features that may be active in one sample.
    """

    centre: Float[np.ndarray, "A d"]
    scale: float
    encoder: Float[Tensor, "d m"]
    bias: Float[Tensor, " m"]
    decoder: Float[Tensor, "m d"]
    k: int

    def scaled(self, residuals: Float[np.ndarray, "*n A d"]) -> Float[Tensor, "*n A d"]:
        """What the encoder reads."""
        return torch.from_numpy(
            ((np.asarray(residuals, float) - self.centre) / self.scale).astype(np.float32)
        )

    def codes(self, residuals: Float[np.ndarray, "*n A d"]) -> Float[np.ndarray, "*n A m"]:
        """Activations of the features."""
        with torch.no_grad():
            return encode(self.scaled(residuals), self.encoder, self.bias, self.k).numpy()

    def unexplained(self, residuals: Float[np.ndarray, "n A d"]) -> float:
        """Share of the variance of centred residuals that the reconstruction misses."""
        with torch.no_grad():
            wanted = self.scaled(residuals)
            missed = wanted - encode(wanted, self.encoder, self.bias, self.k) @ self.decoder
        return float(missed.pow(2).sum() / wanted.pow(2).sum().clamp_min(1e-12))

    def clamp(
        self,
        residual: Float[np.ndarray, "A d"],
        features: Sequence[int],
        target: Float[np.ndarray, "A m"],
    ) -> Float[np.ndarray, "A d"]:
        """What to add to a residual so that the features take their target values, through the decoder.

        Args:
            residual: of one prompt at every aggregator.
            features: indices of the clamped features.
            target: activations that they are to take.
        """
        at = list(features)
        change = (target - self.codes(residual))[:, at]
        return change @ self.decoder.numpy()[at] * self.scale


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
    residuals: Float[np.ndarray, "n A d"], *, features: int, k: int, steps: int, seed: int
) -> SparseCoder:
    """Train on residuals of prompts with Adam; the same seed gives the same weights.

    Args:
        residuals: of every prompt at every aggregator.
        features: number of features.
        k: features that may be active in one sample.
        steps: Adam steps.
        seed: of weights and batches.
    """
    wide = np.asarray(residuals, float)
    centre = wide.mean(0)
    scale = max(float(np.linalg.norm(wide - centre, axis=-1).mean()), 1e-12)
    scaled = torch.from_numpy(((wide - centre) / scale).astype(np.float32))
    samples = rearrange(scaled, "n a d -> (n a) d")
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
    return SparseCoder(centre, scale, encoder.detach(), bias.detach(), decoder.detach(), k)


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
