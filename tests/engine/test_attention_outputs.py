"""Attention outputs over another cache: against the model's own, and bit-equal where inputs are equal."""

import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.errors import PkvError
from pkv_interp.models import attention
from pkv_interp.models.attention import attention_outputs
from tests.engine.support import KERNELS, LENGTH, WINDOW, model_of
from tests.families import ids_of

CAPTURE = {"queries", "prefill"}


@pytest.mark.parametrize(("family", "kernel"), KERNELS)
def test_over_its_own_cache_it_is_what_the_model_computed(family: str, kernel: str) -> None:
    loaded = model_of(family, kernel)
    engine = Engine(loaded)
    base = engine.prefill(ids_of(loaded, LENGTH, seed=1), CAPTURE)
    for layer in range(engine.spec.n_layers):
        ours = engine.attention_outputs(base, base.cache, layer).transpose(0, 1)
        torch.testing.assert_close(ours, base.need("z_all")[layer, :-1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt-oss"])
def test_a_changed_column_leaves_earlier_outputs_bit_equal(family: str) -> None:
    loaded = model_of(family)
    engine = Engine(loaded)
    base = engine.prefill(ids_of(loaded, LENGTH, seed=1), CAPTURE)
    other = engine.prefill(ids_of(loaded, LENGTH, seed=2), CAPTURE)
    cache = base.cache.replace((10,), other.cache)
    for layer, window in enumerate(engine.spec.windows):
        before, after = (engine.attention_outputs(base, c, layer) for c in (base.cache, cache))
        assert torch.equal(before[:, :10], after[:, :10])
        assert not torch.equal(before[:, 10], after[:, 10])
        if window is not None:
            assert window == WINDOW
            assert torch.equal(before[:, 10 + window :], after[:, 10 + window :])
        else:
            assert not torch.equal(before[:, -1], after[:, -1])


def test_known_answer_of_two_tokens() -> None:
    query = torch.tensor([[[1.0], [2.0]]])
    key = torch.tensor([[[0.0], [1.0]]])
    value = torch.tensor([[[3.0], [5.0]]])
    second = torch.tensor([0.0, 2.0]).softmax(0) @ torch.tensor([3.0, 5.0])
    assert attention_outputs(query, key, value, 1.0, None).flatten().tolist() == pytest.approx(
        [3.0, float(second)]
    )
    assert attention_outputs(query, key, value, 1.0, 1).flatten().tolist() == [3.0, 5.0]
    sunk = attention_outputs(query, key, value, 1.0, 1, sinks=torch.tensor([2.0]))
    assert sunk.flatten().tolist() == pytest.approx([3.0 / (1 + 2.718281828**2), 2.5])


@pytest.mark.parametrize(("window", "sinks"), [(None, False), (9, False), (None, True), (9, True)])
def test_blocks_of_queries_join_without_a_seam(
    window: int | None, sinks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, key, value = torch.randn(4, 30, 8), torch.randn(2, 30, 8), torch.randn(2, 30, 8)
    sink = torch.randn(4) if sinks else None
    whole = attention_outputs(query, key, value, 0.3, window, 5.0, sink)
    monkeypatch.setattr(attention, "_BLOCK", 7)
    torch.testing.assert_close(attention_outputs(query, key, value, 0.3, window, 5.0, sink), whole)


def test_bad_calls_are_refused() -> None:
    loaded = model_of("llama")
    engine = Engine(loaded)
    base = engine.prefill(ids_of(loaded, LENGTH, seed=1), {"queries"})
    with pytest.raises(PkvError, match="the cache has 5 tokens and the prompt's own 39"):
        engine.attention_outputs(base, base.cache.slice(0, 5), 0)
    plain = engine.prefill(base.ids)
    with pytest.raises(PkvError, match=r'queries, which was not captured; .*capture=\{"queries"\}'):
        engine.attention_outputs(plain, plain.cache, 0)
