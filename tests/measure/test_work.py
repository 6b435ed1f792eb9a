"""Operations are counted where their number is known."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from pkv_interp.measure.work import operations


def test_products_of_matrices() -> None:
    a, b = torch.zeros(3, 5), torch.zeros(5, 7)
    assert operations(lambda: a @ b) == 2 * 3 * 5 * 7


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_counted_in_full_whatever_kernel_runs_it(causal: bool) -> None:
    heads, tokens, width = 4, 64, 16
    q = torch.randn(1, heads, tokens, width)
    counted = operations(lambda: scaled_dot_product_attention(q, q, q, is_causal=causal))
    assert counted == 2 * 2 * heads * tokens * tokens * width


def test_what_is_no_product_is_not_counted() -> None:
    assert operations(lambda: torch.zeros(9) + 1) == 0
