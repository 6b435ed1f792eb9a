"""Frozen weights that are held in bfloat16, against autocast, which casts them at each use."""

from __future__ import annotations

import copy

import pytest
import torch
from peft import PeftModel
from torch import nn

from pkv_interp.training.halves import HalfLinear, hold_halves
from pkv_interp.training.split import Role, SplitLosses
from tests.families import tiny
from tests.training.test_split import adapted, sequences

#: Digits of bfloat16, over the depth of a tiny model.
COARSE = 0.05


def run(model: PeftModel, role: Role, half: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Losses and gradients of the adapter."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        losses, _ = SplitLosses(role)(model, sequences("llama"), fill=0)
    losses.sum().backward()
    found = {n: p.grad for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
    assert found
    return losses.detach(), found


def test_under_autocast_losses_and_gradients_stay_the_same() -> None:
    plain, halved = adapted("llama"), adapted("llama")
    hold_halves(halved)
    losses, gradients = run(plain, "writer", half=True)
    again, same = run(halved, "writer", half=True)
    torch.testing.assert_close(again, losses, atol=1e-6, rtol=1e-6)
    assert same.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(same[name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def test_a_readers_decision_multiplies_in_bfloat16_and_keeps_float32_beside_it() -> None:
    exact, halved = adapted("llama"), adapted("llama")
    hold_halves(halved)
    losses, gradients = run(exact, "reader", half=False)
    again, near = run(halved, "reader", half=True)
    assert again.dtype == torch.float32
    assert 0.0 < (again - losses).abs().max() < COARSE * losses.abs().max()
    for name, gradient in gradients.items():
        assert (near[name] - gradient).norm() < 4 * COARSE * gradient.norm() + 1e-6, name


def test_only_the_frozen_weights_under_the_adapter_change() -> None:
    model = adapted("llama")
    before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
    hold_halves(model)
    held = [m for m in model.modules() if isinstance(m, HalfLinear)]
    assert len(held) == 7 * tiny("llama").spec.n_layers
    after = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert after.keys() == before.keys()
    assert all(torch.equal(after[n], t) for n, t in before.items())
    whole = [p for n, p in model.named_parameters() if "embed_tokens" in n or "norm" in n]
    assert {p.dtype for p in whole} == {torch.float32}
    assert not any(p.requires_grad for m in held for p in m.parameters())
    # The model that was copied is as it was.
    assert {p.dtype for p in tiny("llama").model.parameters()} == {torch.float32}


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_with_a_bias_has_it_rounded_too(bias: bool) -> None:
    layer = nn.Linear(8, 4, bias=bias)
    half, x = HalfLinear(copy.deepcopy(layer)), torch.randn(3, 8)
    expected = layer.to(torch.bfloat16)(x.to(torch.bfloat16)).float()
    torch.testing.assert_close(half(x), expected, atol=0, rtol=0)
