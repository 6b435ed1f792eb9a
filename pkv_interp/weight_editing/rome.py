"""Rank-one edits of one MLP down projection (ROME: Meng et al. 2022, arXiv 2202.05262, section 3)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.weight_editing.covariance import Covariance
from pkv_interp.weight_editing.projections import down_projection, inputs_of
from pkv_interp.weight_editing.statements import Statement
from pkv_interp.weight_editing.value import ValueSettings, optimise_value


@dataclass(frozen=True, eq=False)
class RankOneEdit:
    """W' = W + left right^T at one down projection, so that W' key = value.

    Attributes:
        layer: whose down projection changes.
        left: Float[d_model], what is missing at the key.
        right: Float[d_ff], the key's direction under the covariance, scaled so that right . key = 1.
        key, value: the pair that the edited map holds.
        steps: Adam steps that the value took.
        probability: least probability of a statement's target with the value in place.
    """

    layer: int
    left: Float[Tensor, " d_model"]
    right: Float[Tensor, " d_ff"]
    key: Float[Tensor, " d_ff"]
    value: Float[Tensor, " d_model"]
    steps: int
    probability: float

    @property
    def delta(self) -> Float[Tensor, "d_model d_ff"]:
        """The change of the weights."""
        return torch.outer(self.left, self.right)

    @contextmanager
    def applied(self, model: PreTrainedModel) -> Iterator[None]:
        """The model with the edit inside the block; the old weights come back bit for bit."""
        weight = down_projection(model, self.layer).weight
        before = weight.detach().clone()
        try:
            with torch.no_grad():
                weight += self.delta.to(weight)
            yield
        finally:
            with torch.no_grad():
                weight.copy_(before)


def mean_key(model: PreTrainedModel, layer: int, statements: Sequence[Statement]) -> Float[Tensor, " d_ff"]:
    """Mean input of the down projection at the statements' subject tokens, float32.

    Args:
        model: is read and not changed.
        layer: of the down projection.
        statements: at least one.
    """
    if not statements:
        raise PkvError("there is no statement to take a key from", "give at least one")
    keys = [inputs_of(model, [layer], one.ids[: one.at + 1])[0][-1] for one in statements]
    return torch.stack(keys).mean(0)


def rome_edit(
    runner: Runner,
    layer: int,
    statements: Sequence[Statement],
    covariance: Covariance,
    *,
    essence: Statement | None = None,
    settings: ValueSettings | None = None,
) -> RankOneEdit:
    """The edit that makes the statements' targets come next, with the least change of the covariance's keys.

    ``W' = W + (v - W k) (C^-1 k)^T / ((C^-1 k)^T k)``; the model is left as it was.

    Args:
        runner: the model.
        layer: whose down projection is edited.
        statements: their subject tokens give the mean key, their targets the value.
        covariance: second moments of that projection's keys.
        essence: a statement about the subject whose next-token distribution is to stay (its target counts
            for nothing).
        settings: of the descent to the value; the defaults where None.

    Raises:
        PkvError: no statement, or a layer without a plain down projection.
    """
    weight = down_projection(runner.model, layer).weight
    key = mean_key(runner.model, layer, statements)
    found = optimise_value(runner, layer, statements, essence, settings or ValueSettings())
    direction = covariance.solve(key)
    right = (direction / (direction @ key.double().cpu())).to(key)
    left = found.value - weight.float() @ key
    return RankOneEdit(layer, left, right, key, found.value, found.steps, found.probability)
