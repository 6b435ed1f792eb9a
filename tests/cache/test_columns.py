"""A cache whose columns come from several sources."""

from __future__ import annotations

import torch

from pkv_interp.cache import ColumnsLayer, columns_cache


def test_pieces_are_joined_in_order_and_nothing_is_kept() -> None:
    a, b, new = torch.zeros(1, 2, 3, 4), torch.ones(1, 2, 2, 4), torch.full((1, 2, 1, 4), 2.0)
    layer = ColumnsLayer([a, b], [b, a])
    cache = columns_cache([layer])
    assert layer.get_seq_length() == 5
    for _ in range(2):
        keys, values = cache.update(new, new, 0)
        assert keys[0, 0, :, 0].tolist() == [0, 0, 0, 1, 1, 2]
        assert values[0, 0, :, 0].tolist() == [1, 1, 0, 0, 0, 2]
    assert layer.get_seq_length() == 5


def test_gradients_reach_the_pieces() -> None:
    piece = torch.zeros(1, 1, 2, 3, requires_grad=True)
    keys, _ = ColumnsLayer([piece], [piece.detach()]).update(torch.ones(1, 1, 1, 3), torch.ones(1, 1, 1, 3))
    keys.sum().backward()
    assert piece.grad is not None
    assert torch.equal(piece.grad, torch.ones_like(piece))
