"""Models of many architectures give right numbers by every route."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from pkv_interp.cache import Runner
from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import MLPPatch
from pkv_interp.models.unembedding import logits_of
from tests.families import ids_of
from tests.hostile.architectures import READ, WINDOW, built, read

LENGTH = 24
TOKENS = tuple(range(300, 340))


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


@cache
def prefill_of(name: str) -> tuple[Engine, Prefill, Tensor]:
    """Engine, one prompt with every capture, and its logits by a plain forward."""
    loaded = read(name)
    engine, ids = Engine(loaded), ids_of(loaded, LENGTH, seed=1)
    base = engine.prefill(ids, {"prefill", "attention", "queries"})
    with torch.no_grad():
        return engine, base, loaded.model(torch.tensor([ids])).logits[0, -1].float()


def added_by(model: Any, part: str, ids: list[int]) -> list[Tensor]:
    """Per layer, what leaves the block less what would leave it if the attention (or MLP) gave zeros.

    In a block that is not parallel the MLP reads the stream with the attention in it, so its output is held.
    """
    found = []
    tokens = torch.tensor([ids])
    for layer in model.model.layers:
        kept: dict[str, Any] = {}
        other = layer.mlp if part == "self_attn" else layer.self_attn
        handles = [
            other.register_forward_hook(lambda _m, _a, out, kept=kept: kept.setdefault("held", out)),
            layer.register_forward_hook(lambda _m, _a, out, kept=kept: kept.setdefault("leaving", out)),
        ]
        model(tokens)
        for handle in handles:
            handle.remove()

        def zeros(_m: Any, _a: Any, out: Any) -> Any:
            return (torch.zeros_like(out[0]), *out[1:]) if isinstance(out, tuple) else torch.zeros_like(out)

        handles = [
            getattr(layer, part).register_forward_hook(zeros),
            other.register_forward_hook(lambda _m, _a, _o, kept=kept: kept["held"]),
            layer.register_forward_hook(lambda _m, _a, out, kept=kept: kept.setdefault("without", out)),
        ]
        model(tokens)
        for handle in handles:
            handle.remove()
        found.append((kept["leaving"] - kept["without"])[0])
    return found


@pytest.mark.parametrize("name", READ)
def test_logits_are_the_models_own_by_every_route(name: str) -> None:
    """S2, S4 and their kind: prefill, packed decode, final logits, and lens of the last residual."""
    engine, base, plain = prefill_of(name)
    close(base.logits, plain)
    close(engine.decode(base, [()]).logits[0], plain)
    close(engine.lens(base.resid[-1]), plain)
    close(engine.final_logits(base.resid[-1], TOKENS), plain[list(TOKENS)])
    model: Any = engine.loaded.model
    hidden = model.model(torch.tensor([base.ids])).last_hidden_state[0, -1]
    close(logits_of(model, hidden), plain)


@pytest.mark.parametrize("name", READ)
def test_parts_of_the_stream_are_what_attention_and_mlp_add_to_it(name: str) -> None:
    """S1, T1: against blocks whose attention or MLP gives zeros, the other held."""
    engine, base, _ = prefill_of(name)
    entering, mid = base.need("resid_all")[:-1], base.need("resid_mid_all")
    model = engine.loaded.model
    # A LayerNorm after the attention would add its bias to zeros as well; none of these models has one.
    assert engine.spec.anatomy.blocks[0].attention_norm is None or not engine.spec.anatomy.centred
    attention = torch.stack(added_by(model, "self_attn", list(base.ids)))
    close(mid - entering, attention)
    mlp = torch.stack(added_by(model, "mlp", list(base.ids)))
    wrote = engine.written(base, range(base.length))
    close(wrote[0], attention)
    close(wrote[1], mlp)
    close(mid + mlp, base.need("resid_all")[1:])


@pytest.mark.parametrize("name", READ)
def test_direct_logits_sum_to_the_logits_or_the_constant_is_named(name: str) -> None:
    """S3: a LayerNorm is centred, and its bias is no part's."""
    engine, base, plain = prefill_of(name)
    split, final = engine.contributions(base), base.resid[-1]
    close(split.total, final)
    heads = split.heads.flatten(0, 1)
    parts = torch.cat([split.embedding[None], heads, split.attention_bias, split.mlps])
    constant = engine.constant_logit(final, TOKENS)
    if constant.any():
        with pytest.raises(PkvError, match="adds a constant to its logits.*without_constant=True"):
            engine.direct_logit(parts, final, TOKENS)
    direct = engine.direct_logit(parts, final, TOKENS, without_constant=True).sum(0) + constant
    close(direct, plain[list(TOKENS)])


def test_a_constant_is_only_where_a_norm_has_a_bias() -> None:
    constants = {name: bool(prefill_of(name)[0].constant_logit(prefill_of(name)[1].resid[-1], TOKENS).any())
                 for name in READ}  # fmt: skip
    with_bias = {"LayerNorm, window", "LayerNorm of 1 + weight", "parallel or not"}
    assert {name for name, there in constants.items() if there} == with_bias


@pytest.mark.parametrize("name", ["parallel", "norm after", "scaled residuals and logits"])
def test_gradients_are_the_first_order_of_the_patches(name: str) -> None:
    """T1's kind: in a parallel block the first MLP depends on nothing that has a gradient of its own."""
    engine, base, _ = prefill_of(name)
    generator = torch.Generator().manual_seed(5)
    step = 0.02 * base.mlp.abs() * torch.randn(base.mlp.shape, generator=generator)
    donor = replace(base, mlp=base.mlp + step)
    found = engine.attribute(base, donor, (300, 301))
    rows = [(MLPPatch(layer, 0),) for layer in range(engine.spec.n_layers)]
    logits = engine.decode(base, [(), *rows], (donor,), (300, 301)).logits.double()
    margins = logits[:, 0] - logits[:, 1]
    moved = margins[1:] - margins[0]
    assert (found.mlps - moved).abs().max() < 0.05 * moved.abs().max()
    assert moved.abs().max() > 1e-4
    assert not found.heads.any()


@pytest.mark.parametrize("name", READ)
def test_attention_is_the_models_own(name: str) -> None:
    """S4: windows, factors on the scores and layers without rotation, from queries and cache alone."""
    engine, base, _ = prefill_of(name)
    for layer in range(engine.spec.n_layers):
        ours = engine.attention_outputs(base, base.cache, layer)
        close(ours.transpose(0, 1), base.need("z_all")[layer, :-1])
    # Rows of the decision token, mapped to z by the values of all columns.
    whole = engine.prefill([*base.ids, base.ids[0]])
    group = engine.spec.group_size
    values = torch.stack(whole.cache.values)[:, 0].repeat_interleave(group, 1)
    z = torch.einsum("lht,lhtd->lhd", base.need("attn"), values)
    close(z, base.z)


@pytest.mark.parametrize("name", READ)
def test_recompute_and_extend_equal_a_full_prefill(name: str) -> None:
    """S4 of raw models: every token run again in place, and a suffix after a prefix."""
    loaded = read(name)
    runner, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, seed=1)
    plain = prefill_of(name)[2]
    other = runner.prefill(ids_of(loaded, LENGTH, seed=2)).cache
    again = runner.recompute(other, range(LENGTH), ids)
    close(again.logits, plain)
    after = runner.extend(runner.prefill(ids[:5]).cache, ids[5:])
    close(after.logits, plain)


def test_windows_are_as_the_model_applies_them() -> None:
    """S4: by name of the case; 4096 positions are told by eight tokens."""
    windows = {name: read(name).spec.windows for name in READ}
    expected: dict[str, tuple[int | None, ...]] = dict.fromkeys(READ, (None,) * 4)
    expected |= {
        "norm after, windows": (WINDOW, WINDOW, WINDOW, None),
        "LayerNorm, window": (WINDOW,) * 4,
        "parallel, windows": (WINDOW, WINDOW, WINDOW, None),
        "windows from a layer on": (None, None, WINDOW, WINDOW),
    }
    assert windows == expected
    assert all(Runner.of(read(name).model).windows == expected[name] for name in READ)
    wide = built("mistral", sliding_window=4096)
    assert Runner.of(wide).windows == (4096,) * 4
    assert wide.config.sliding_window == 4096


def test_the_windows_are_put_back_when_the_measuring_fails() -> None:
    model = built("mistral", sliding_window=16)
    handle = model.model.layers[2].mlp.register_forward_hook(_fail)
    with pytest.raises(PkvError, match="MistralForCausalLM does not run over a plain cache"):
        Runner.of(model)
    handle.remove()
    assert model.config.sliding_window == 16
    assert Runner.of(model).windows == (16,) * 4


def _fail(*_: Any) -> None:
    raise RuntimeError("broken on purpose")
