"""Direct logit attribution: parts sum to the residual and their contributions to the logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pkv_interp.engine import Contributions
from pkv_interp.errors import PkvError
from pkv_interp.models.norms import frozen_norm
from tests.engine.support import model_of, setting
from tests.families import FAMILIES

TOKENS = (11, 12, 400)


def parts_of(split: Contributions) -> torch.Tensor:
    return torch.cat([split.embedding[None], split.heads.flatten(0, 1), split.attention_bias, split.mlps])


@pytest.mark.parametrize("family", FAMILIES)
def test_parts_sum_to_the_residual_and_to_the_logits(family: str) -> None:
    at = setting(family)
    split = at.engine.contributions(at.base)
    final = at.base.resid[-1]
    torch.testing.assert_close(split.total, final, atol=1e-4, rtol=1e-4)
    direct = at.engine.direct_logit(parts_of(split), final, TOKENS)
    assert direct.shape == (len(parts_of(split)), 3)
    raw = at.engine.final_logits(final, TOKENS, softcap=False)
    torch.testing.assert_close(direct.sum(0), raw, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        at.engine.final_logits(final, TOKENS), at.base.logits[list(TOKENS)], atol=1e-5, rtol=0
    )


def test_raw_and_capped_logits_differ_only_with_a_softcap() -> None:
    for family, capped in (("gemma2", True), ("llama", False)):
        at = setting(family)
        raw = at.engine.final_logits(at.base.resid[-1], TOKENS, softcap=False)
        assert torch.equal(raw, at.engine.final_logits(at.base.resid[-1], TOKENS)) is not capped


@pytest.mark.parametrize("family", FAMILIES)
def test_heads_and_bias_sum_to_what_the_attention_adds(family: str) -> None:
    at = setting(family)
    split = at.engine.contributions(at.base)
    layer = at.loaded.model.model.layers[0]
    if hasattr(layer, "post_feedforward_layernorm"):
        written = layer.post_attention_layernorm(layer.self_attn.o_proj(at.base.z[0].flatten()))
    else:
        written = layer.self_attn.o_proj(at.base.z[0].flatten())
    torch.testing.assert_close(split.heads[0].sum(0) + split.attention_bias[0], written, atol=1e-5, rtol=1e-4)


def test_frozen_norm_is_the_norm_at_its_reference() -> None:
    for family in FAMILIES:
        norm = model_of(family).model.model.norm
        at = 3 * torch.randn(64)
        torch.testing.assert_close(frozen_norm(norm, at).parts(at), norm(at), atol=1e-5, rtol=1e-5)
    with pytest.raises(PkvError, match="RMS"):
        frozen_norm(torch.nn.Identity(), torch.ones(4))


def test_parts_that_do_not_add_up_are_refused() -> None:
    at = setting("llama")
    with pytest.raises(PkvError, match="miss the residual"):
        at.engine.contributions(replace(at.base, mlp=at.base.mlp * 2))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stream_between_attention_and_mlp_splits_what_a_block_adds(family: str) -> None:
    at = setting(family)
    split = at.engine.contributions(at.base)
    middle = at.base.need("resid_mid_all")[:, -1]
    torch.testing.assert_close(at.base.resid[1:] - middle, split.mlps, atol=1e-4, rtol=1e-4)
    attention = split.heads.sum(1) + split.attention_bias
    torch.testing.assert_close(middle - at.base.resid[:-1], attention, atol=1e-4, rtol=1e-4)
