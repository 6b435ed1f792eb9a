"""Norms with their scale fixed: linear maps that agree with the norm at the vector they were fixed at."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pkv_interp.errors import PkvError
from pkv_interp.models.norms import frozen_norm

KINDS: dict[str, tuple[Callable[[int], nn.Module], bool]] = {
    "rms": (lambda n: nn.RMSNorm(n, eps=1e-6), False),
    "rms of a large epsilon": (lambda n: nn.RMSNorm(n, eps=0.3), False),
    "rms without gain": (lambda n: nn.RMSNorm(n, eps=1e-6, elementwise_affine=False), False),
    "layer": (lambda n: nn.LayerNorm(n), True),
    "layer without bias": (lambda n: nn.LayerNorm(n, bias=False), True),
    "layer without gain": (lambda n: nn.LayerNorm(n, elementwise_affine=False), True),
}


@pytest.mark.parametrize("width", [64, 63, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_parts_sum_to_the_norm_of_the_whole(kind: str, width: int) -> None:
    make, centred = KINDS[kind]
    norm = make(width)
    for parameter in norm.parameters():
        parameter.data += 0.5 * torch.randn(width)
    parts = 3 * torch.randn(7, width) + 1
    whole = parts.sum(0)
    with torch.no_grad():
        frozen = frozen_norm(norm, whole)
        assert frozen.centred is centred
        torch.testing.assert_close(
            frozen.parts(parts).sum(0) + frozen.constant, norm(whole), atol=1e-5, rtol=1e-5
        )
    assert bool(frozen.constant.any()) is (kind == "layer")


class _Tanh(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x)


class _MaxNorm(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x.abs() / x.square().mean(-1, keepdim=True)


@pytest.mark.parametrize("module", [nn.Identity(), _Tanh(), _MaxNorm()])
def test_what_is_no_norm_is_refused(module: nn.Module) -> None:
    with pytest.raises(PkvError, match=f"{type(module).__name__} is neither an RMS norm nor a LayerNorm"):
        frozen_norm(module, torch.randn(64))
