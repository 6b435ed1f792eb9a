"""Random models of a chosen shape."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.errors import PkvError
from pkv_interp.models.shaped import shaped_model


def test_a_model_has_the_shape_that_was_asked_for() -> None:
    before = torch.random.get_rng_state()
    spec = shaped_model(3, 6, head_dim=8, positions=300).spec
    assert (spec.n_layers, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.d_model) == (3, 6, 3, 8, 48)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("shape", [(0, 2), (2, 3)])
def test_a_shape_that_cannot_be(shape: tuple[int, int]) -> None:
    with pytest.raises(PkvError, match="no model has"):
        shaped_model(*shape)
