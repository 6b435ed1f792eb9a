"""Second moments of the keys that a down projection reads, C = E[k k^T], over a text corpus."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.errors import PkvError
from pkv_interp.weight_editing.projections import down_projection, inputs_of


@dataclass(frozen=True, eq=False)
class Covariance:
    """Uncentred second moments of the inputs of one down projection.

    Attributes:
        matrix: Float64[d_in, d_in] on the CPU.
        n_tokens: tokens that it was taken over.
        limit: condition number that the ridge keeps the matrix under.
    """

    matrix: Float[Tensor, "d_in d_in"]
    n_tokens: int
    limit: float = 1e4

    def __post_init__(self) -> None:
        _ = self._factor  # made once and here, so that an edit pays for a solve alone

    @cached_property
    def _eigenvalues(self) -> Float[Tensor, " d_in"]:
        return torch.linalg.eigvalsh(self.matrix).clamp_min(0.0)

    @cached_property
    def ridge(self) -> float:
        """The smallest multiple of the identity that brings the condition number to ``limit``."""
        low, high = float(self._eigenvalues[0]), float(self._eigenvalues[-1])
        return max((high - self.limit * low) / (self.limit - 1.0), 0.0)

    @property
    def condition(self) -> float:
        """Condition number with the ridge."""
        low, high = float(self._eigenvalues[0]), float(self._eigenvalues[-1])
        return (high + self.ridge) / (low + self.ridge)

    @property
    def bare_condition(self) -> float:
        """Condition number without the ridge; infinite for a singular matrix."""
        low, high = float(self._eigenvalues[0]), float(self._eigenvalues[-1])
        return high / low if low > 0.0 else float("inf")

    @cached_property
    def _factor(self) -> Float[Tensor, "d_in d_in"]:
        size = len(self.matrix)
        return torch.linalg.cholesky(self.matrix + self.ridge * torch.eye(size, dtype=torch.float64))

    def solve(self, key: Float[Tensor, " d_in"]) -> Float[Tensor, " d_in"]:
        """(C + ridge I)^-1 k in float64 on the CPU."""
        right = key.detach().double().cpu()[:, None]
        return torch.cholesky_solve(right, self._factor)[:, 0]


def key_covariances(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], layers: Sequence[int], limit: float = 1e4
) -> dict[int, Covariance]:
    """C of several layers from one pass over a corpus (Meng et al. 2022, section 3.1).

    Args:
        model: is read and not changed.
        texts: token ids of the corpus, one sequence per forward.
        layers: whose down projections are read.
        limit: condition number that solves stay under.

    Raises:
        PkvError: no text, a layer out of range, or a limit of 1 or less.
    """
    if not texts or limit <= 1.0:
        raise PkvError("a covariance needs texts and a limit above 1", "give a corpus and for example 1e4")
    sums = [0.0 * torch.eye(down_projection(model, layer).in_features).double() for layer in layers]
    for ids in texts:
        for total, keys in zip(sums, inputs_of(model, layers, ids), strict=True):
            total += (keys.T @ keys).double().cpu()
    n_tokens = sum(len(ids) for ids in texts)
    return {
        layer: Covariance(total / n_tokens, n_tokens, limit)
        for layer, total in zip(layers, sums, strict=True)
    }
