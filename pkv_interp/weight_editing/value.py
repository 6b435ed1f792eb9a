"""The output that a down projection is to give at the subject, found by gradient descent."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.finite import finite
from pkv_interp.weight_editing.projections import down_projection
from pkv_interp.weight_editing.statements import Batch, Statement, batches


@dataclass(frozen=True)
class ValueSettings:
    """How a value is searched.

    Attributes:
        steps: Adam steps at most.
        rate: learning rate, as a share of the root mean square of the output before the edit.
        enough: stop when every target has this probability.
        kl_weight: weight of the KL divergence at the essence statement.
        decay: weight of the squared norm of the change, relative to that of the output before.
        reach: the change's norm may be this many times that of the output before.
    """

    steps: int = 20
    rate: float = 0.5
    enough: float = 0.9
    kl_weight: float = 0.0625
    decay: float = 0.01
    reach: float = 8.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.rate <= 0.0 or self.reach <= 0.0 or not 0.0 < self.enough < 1.0:
            raise PkvError(
                "the value search needs steps, rate and reach above 0 and enough between 0 and 1",
                "leave them at their defaults",
            )


@dataclass(frozen=True, eq=False)
class Value:
    """An output, the steps it took and the least probability of a target under it."""

    value: Float[Tensor, " d_model"]
    steps: int
    probability: float


@contextmanager
def _put(module: nn.Module, value: Float[Tensor, " d_model"]) -> Iterator[None]:
    """The module's output at the first token that is run replaced by ``value``."""

    def hook(_module: nn.Module, _args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        first = value.to(output.dtype).expand(output.shape[0], 1, -1)
        return torch.cat([first, output[:, 1:]], 1)

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def output_before(runner: Runner, layer: int, one: Statement) -> Float[Tensor, " d_model"]:
    """What the down projection gives at the statement's subject token, float32.

    Args:
        runner: the model.
        layer: of the down projection.
        one: the statement.
    """
    held: list[Tensor] = []
    handle = down_projection(runner.model, layer).register_forward_hook(
        lambda _module, _args, output: held.append(output[0, -1].detach().float())
    )
    try:
        runner.prefill(one.ids[: one.at + 1])
    finally:
        handle.remove()
    return held[0]


def optimise_value(
    runner: Runner,
    layer: int,
    statements: Sequence[Statement],
    essence: Statement | None,
    settings: ValueSettings,
) -> Value:
    """Minimise the targets' negative log-likelihood plus KL at the essence (Meng et al. 2022, equation 4).

    The loss also has the squared norm of the change, and the change's norm is bounded.

    Args:
        runner: the model.
        layer: of the down projection.
        statements: whose targets are to come next; the first one gives the start.
        essence: a statement whose next-token distribution is to stay, or None.
        settings: of the descent.
    """
    module = down_projection(runner.model, layer)
    start = output_before(runner, layer, statements[0])
    scale = float(start.norm())
    groups = batches(runner, statements)
    kept = batches(runner, [essence])[0] if essence is not None else None
    with torch.no_grad():
        usual = kept.log_probabilities() if kept is not None else None
    change = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([change], lr=settings.rate * scale / len(start) ** 0.5)
    best, steps = 0.0, 0
    with torch.enable_grad():
        for steps in range(settings.steps + 1):
            with _put(module, start + change):
                losses = _losses(groups)
                drift = _kl(kept, usual)
            finite(losses.detach(), "the losses of the targets")
            best = float((-losses.detach()).exp().min())
            if best >= settings.enough or steps == settings.steps:
                break
            penalty = settings.decay * (change / scale).square().sum()
            optimiser.zero_grad()
            (losses.mean() + settings.kl_weight * drift + penalty).backward()
            optimiser.step()
            with torch.no_grad():
                change *= min(1.0, settings.reach * scale / max(float(change.norm()), 1e-12))
    return Value((start + change).detach(), steps, best)


def _losses(groups: Sequence[Batch]) -> Float[Tensor, " statements"]:
    """Negative log-likelihood of every target."""
    return torch.cat([-group.log_probabilities().gather(1, group.targets[:, None])[:, 0] for group in groups])


def _kl(kept: Batch | None, usual: Tensor | None) -> Tensor:
    """Divergence at the essence statement from what the model said before."""
    if kept is None or usual is None:
        return torch.zeros(())
    now = kept.log_probabilities()
    return (usual.exp() * (usual - now)).sum()
