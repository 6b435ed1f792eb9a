"""A prefill agrees with the model's own forward, under every family and kernel and past the window."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.cache_utils import DynamicCache

from pkv_interp.engine import Engine
from pkv_interp.engine.prefill import shared_prefix
from pkv_interp.errors import PkvError
from pkv_interp.models.attention import decision_weights
from tests.engine.support import KERNELS, LENGTH, WINDOW, model_of, setting
from tests.families import SLIDING_FAMILIES, ids_of


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_logits_and_residuals_are_the_models_own(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    model: Any = at.loaded.model
    with torch.no_grad():
        out = model(torch.tensor([at.base.ids]), output_hidden_states=True)
    torch.testing.assert_close(at.base.logits, out.logits[0, -1], atol=1e-5, rtol=1e-5)
    resid = at.base.need("resid_all")
    # The last hidden state that transformers hands out is already normalised.
    torch.testing.assert_close(resid[:-1], torch.stack(out.hidden_states[:-1])[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(at.engine.lens(at.base.resid[-1]), model.lm_head(out.hidden_states[-1][0, -1]))


@pytest.mark.parametrize("family", SLIDING_FAMILIES)
def test_the_cache_has_every_column_even_where_the_family_slides(family: str) -> None:
    at = setting(family)
    assert min(window for window in at.loaded.spec.windows if window is not None) == WINDOW < LENGTH
    assert at.base.cache.length == LENGTH - 1
    own = DynamicCache(config=at.loaded.model.config)
    model: Any = at.loaded.model
    with torch.no_grad():
        model(torch.tensor([at.base.ids[:-1]]), past_key_values=own, use_cache=True)
    layers: list[Any] = own.layers
    for layer, key in zip(layers, at.base.cache.keys, strict=True):
        kept = layer.keys.shape[2]
        torch.testing.assert_close(layer.keys, key[:, :, key.shape[2] - kept :], atol=1e-5, rtol=1e-5)
    assert {layer.keys.shape[2] for layer in layers} >= {WINDOW - 1}


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_attention_weights_are_those_of_the_eager_kernel(family: str, kernel: str) -> None:
    at = setting(family, kernel)
    model: Any = model_of(family, "eager").model
    with torch.no_grad():
        own = model(torch.tensor([at.base.ids]), output_attentions=True).attentions
    attn = at.base.need("attn")
    torch.testing.assert_close(attn, torch.stack(own)[:, 0, :, -1], atol=1e-5, rtol=1e-4)
    total = attn.sum(-1)
    if at.loaded.spec.sinks:
        assert (total < 1).all()
    else:
        torch.testing.assert_close(total, torch.ones_like(total))
    for layer, window in enumerate(at.loaded.spec.windows):
        if window is not None:
            assert (attn[layer, :, :-window] == 0).all()


def test_decision_weights_by_hand() -> None:
    query, key = torch.randn(1, 2, 3, 4), torch.randn(1, 1, 3, 4)
    scores = query[0, :, -1] @ key[0, 0].T * 0.7
    capped = 5 * torch.tanh(scores / 5)
    sinks = torch.tensor([0.3, -0.1])
    expected = torch.cat([capped, sinks[:, None]], -1)[:, 1:].softmax(-1)[:, :2]
    weights = decision_weights(query, key, 0.7, 2, 5.0, sinks)
    torch.testing.assert_close(weights[:, 1:], expected)
    assert (weights[:, 0] == 0).all()


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_single_positions_are_rows_of_the_full_activations(family: str, kernel: str) -> None:
    base = setting(family, kernel).base
    assert torch.equal(base.z, base.need("z_all")[:, -1])
    assert torch.equal(base.mlp, base.need("mlp_all")[:, -1])
    assert torch.equal(base.resid, base.need("resid_all")[:, -1])


def test_nothing_is_kept_that_was_not_asked_for() -> None:
    at = setting("llama")
    plain = at.engine.prefill(at.base.ids)
    assert (plain.z_all, plain.mlp_all, plain.resid_all, plain.attn) == (None, None, None, None)
    torch.testing.assert_close(plain.z, at.base.z)
    with pytest.raises(PkvError, match="attention"):
        plain.need("attn")
    with pytest.raises(PkvError, match="prefill"):
        plain.need("z_all")


def test_a_prefill_takes_no_gradient_graph_along() -> None:
    base = setting("llama").engine.prefill(setting("llama").base.ids)
    assert not any(t.requires_grad for t in (*base.cache.keys, base.logits, base.z, base.mlp))


def test_bad_prompts_are_refused() -> None:
    engine: Engine = setting("llama").engine
    with pytest.raises(PkvError, match="at least two"):
        engine.prefill([5])
    with pytest.raises(PkvError, match="token id 999999"):
        engine.prefill([5, 999999])
    with pytest.raises(PkvError, match="capture"):
        engine.prefill([5, 6], {"everything"})


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
@pytest.mark.parametrize("start", [1, 25, LENGTH])
def test_a_shared_prefix_is_not_run_and_changes_nothing(family: str, kernel: str, start: int) -> None:
    """From position ``start`` on the prompt differs from the one that it shares its first tokens with."""
    at = setting(family, kernel)
    ids = ids_of(at.loaded, LENGTH, seed=9, base=at.base.ids, start=start)
    capture = {"prefill", "attention", "queries"}
    shared = at.engine.prefill(at.base.ids, capture)
    widths: list[int] = []
    model: Any = at.loaded.model
    hook = model.model.norm.register_forward_hook(lambda _, args, __: widths.append(args[0].shape[1]))
    try:
        found = at.engine.prefill(ids, capture, shared)
    finally:
        hook.remove()
    assert widths == [LENGTH - min(start, LENGTH - 1)]
    whole = at.engine.prefill(ids, capture)
    for name in (
        "logits",
        "z",
        "mlp",
        "resid",
        "attn",
        "z_all",
        "mlp_all",
        "resid_all",
        "resid_mid_all",
        "queries",
    ):
        torch.testing.assert_close(getattr(found, name), getattr(whole, name), atol=1e-4, rtol=1e-5, msg=name)
    for a, b in zip(
        (*found.cache.keys, *found.cache.values), (*whole.cache.keys, *whole.cache.values), strict=True
    ):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-5)


def test_nothing_is_shared_with_a_prompt_that_lacks_it() -> None:
    at = setting("llama")
    plain = at.engine.prefill(at.base.ids)
    assert shared_prefix(at.base.ids, plain, frozenset({"attention"})) == LENGTH - 1
    assert shared_prefix(at.base.ids, plain, frozenset({"prefill"})) == 0
    assert shared_prefix(at.base.ids, plain, frozenset({"queries"})) == 0
    assert shared_prefix(at.base.ids[:-1], plain, frozenset()) == 0
