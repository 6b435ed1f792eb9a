"""Models of many architectures give right numbers, or are refused by name when they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pkv_interp.cache import Runner
from pkv_interp.engine import Engine, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.interventions import MLPPatch
from pkv_interp.models.load_check import check_model
from pkv_interp.models.spec import ModelSpec
from pkv_interp.models.unembedding import logits_of
from tests.families import FAMILIES, ids_of, tiny
from tests.hostile.architectures import READ, REFUSED, WINDOW, built, loaded_of, read
from tests.models.saved import load_local

LENGTH = 24
TOKENS = tuple(range(300, 340))
CLOSE: dict[str, float] = {"atol": 1e-4, "rtol": 1e-4}


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
    torch.testing.assert_close(base.logits, plain, **CLOSE)
    torch.testing.assert_close(engine.decode(base, [()]).logits[0], plain, **CLOSE)
    torch.testing.assert_close(engine.lens(base.resid[-1]), plain, **CLOSE)
    torch.testing.assert_close(engine.final_logits(base.resid[-1], TOKENS), plain[list(TOKENS)], **CLOSE)
    model: Any = engine.loaded.model
    hidden = model.model(torch.tensor([base.ids])).last_hidden_state[0, -1]
    torch.testing.assert_close(logits_of(model, hidden), plain, **CLOSE)


@pytest.mark.parametrize("name", READ)
def test_parts_of_the_stream_are_what_attention_and_mlp_add_to_it(name: str) -> None:
    """S1, T1: against blocks whose attention or MLP gives zeros, the other held."""
    engine, base, _ = prefill_of(name)
    entering, mid = base.need("resid_all")[:-1], base.need("resid_mid_all")
    model = engine.loaded.model
    norm_after = engine.spec.anatomy.blocks[0].attention_norm is not None
    if norm_after and engine.spec.anatomy.centred:
        pytest.skip("a norm of zeros would leave its bias")
    attention = torch.stack(added_by(model, "self_attn", list(base.ids)))
    torch.testing.assert_close(mid - entering, attention, **CLOSE)
    mlp = torch.stack(added_by(model, "mlp", list(base.ids)))
    torch.testing.assert_close(base.need("mlp_written_all"), mlp, **CLOSE)
    torch.testing.assert_close(mid + mlp, base.need("resid_all")[1:], **CLOSE)


@pytest.mark.parametrize("name", READ)
def test_direct_logits_sum_to_the_logits_or_the_constant_is_named(name: str) -> None:
    """S3: a LayerNorm is centred, and its bias is no part's."""
    engine, base, plain = prefill_of(name)
    split, final = engine.contributions(base), base.resid[-1]
    torch.testing.assert_close(split.total, final, **CLOSE)
    heads = split.heads.flatten(0, 1)
    parts = torch.cat([split.embedding[None], heads, split.attention_bias, split.mlps])
    constant = engine.constant_logit(final, TOKENS)
    if constant.any():
        with pytest.raises(PkvError, match="adds a constant to its logits.*without_constant=True"):
            engine.direct_logit(parts, final, TOKENS)
    direct = engine.direct_logit(parts, final, TOKENS, without_constant=True).sum(0) + constant
    torch.testing.assert_close(direct, plain[list(TOKENS)], **CLOSE)


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
        torch.testing.assert_close(ours.transpose(0, 1), base.need("z_all")[layer, :-1], **CLOSE)
    # Rows of the decision token, mapped to z by the values of all columns.
    whole = engine.prefill([*base.ids, base.ids[0]])
    group = engine.spec.group_size
    values = torch.stack(whole.cache.values)[:, 0].repeat_interleave(group, 1)
    z = torch.einsum("lht,lhtd->lhd", base.need("attn"), values)
    torch.testing.assert_close(z, base.z, **CLOSE)


@pytest.mark.parametrize("name", READ)
def test_recompute_and_extend_equal_a_full_prefill(name: str) -> None:
    """S4 of raw models: every token run again in place, and a suffix after a prefix."""
    loaded = read(name)
    runner, ids = Runner.of(loaded.model), ids_of(loaded, LENGTH, seed=1)
    plain = prefill_of(name)[2]
    other = runner.prefill(ids_of(loaded, LENGTH, seed=2)).cache
    again = runner.recompute(other, range(LENGTH), ids)
    torch.testing.assert_close(again.logits, plain, **CLOSE)
    after = runner.extend(runner.prefill(ids[:5]).cache, ids[5:])
    torch.testing.assert_close(after.logits, plain, **CLOSE)


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


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_refused_at_load_in_one_short_line(name: str) -> None:
    """T2, T6 and their kind."""
    architecture, special, words = REFUSED[name]
    with pytest.raises(PkvError) as caught:
        loaded_of(built(architecture, **special))
    told = str(caught.value)
    assert words in told
    assert len(told) < 300
    assert "\n" not in told


@pytest.mark.parametrize("name", ["layers share caches", "latent attention", "heads of two widths"])
def test_raw_models_are_refused_before_their_first_prefill(name: str) -> None:
    """T2, T6: through the runner, which editing and composing make of any model."""
    architecture, special, words = REFUSED[name]
    with pytest.raises(PkvError, match=words):
        Runner.of(built(architecture, **special))


@pytest.mark.parametrize(("key", "value"), [("num_key_value_heads", 1), ("num_attention_heads", 2)])
def test_a_config_that_says_other_heads_than_the_forward_shows(key: str, value: int) -> None:
    model = built("llama", rms_norm_eps=1e-5 * value)
    kept = getattr(model.config, key)
    setattr(model.config, key, value)
    with pytest.raises(PkvError, match=r"o_proj of|states . heads over . KV heads"):
        loaded_of(model)
    setattr(model.config, key, kept)
    assert loaded_of(model).spec.n_heads == 4


def _blocks(**changed: Any) -> Callable[[ModelSpec], ModelSpec]:
    def wrong(spec: ModelSpec) -> ModelSpec:
        blocks = tuple(replace(block, **changed) for block in spec.anatomy.blocks)
        return replace(spec, anatomy=replace(spec.anatomy, blocks=blocks))

    return wrong


def _last(**changed: Any) -> Callable[[ModelSpec], ModelSpec]:
    return lambda spec: replace(spec, anatomy=replace(spec.anatomy, **changed))


#: By case: the model, the wrong reading of it, and words of the refusal.
WRONG: dict[str, tuple[str, Callable[[ModelSpec], ModelSpec], str]] = {
    "S1: raw attention before its norm": ("norm after", _blocks(attention_norm=None), "to its stream"),
    "S1: raw MLP before its norm": ("norm after", _blocks(mlp_norm=None), "to its stream"),
    "S1: the norm of the MLP's input": (
        "norms on both sides",
        _blocks(attention_norm="post_attention_layernorm"),
        "to its stream",
    ),
    "residuals not scaled": (
        "scaled residuals and logits",
        _blocks(attention_factor=1.0, mlp_factor=1.0),
        "to its stream",
    ),
    "scores scaled by the head": ("scaled residuals and logits", _blocks(scaling=0.25), "heads of"),
    "S2: logits not scaled": ("scaled residuals and logits", _last(logit_factor=1.0), "make its logits"),
    "S2: the other way round": ("parallel", _last(logit_factor=16.0), "make its logits"),
    "softcap that is not there": ("norm after", _last(softcap=1.0), "make its logits"),
    "S4: a window stated, not used": (
        "window stated, not used",
        lambda spec: replace(spec, windows=(32,) * 4),
        "heads of",
    ),
    "S4: a window not stated": (
        "LayerNorm, window",
        lambda spec: replace(spec, windows=(None,) * 4),
        "heads of",
    ),
    "S4: windows of other layers": (
        "windows from a layer on",
        lambda spec: replace(spec, windows=spec.windows[::-1]),
        "heads of",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_check_refuses_a_wrong_reading_by_name(case: str) -> None:
    """S1, S2, S4 with our own handling switched off; the right reading passes."""
    name, wrong, words = WRONG[case]
    loaded = read(name)
    with pytest.raises(PkvError, match=words):
        check_model(loaded.model, wrong(loaded.spec))
    right = check_model(loaded.model, loaded.spec)
    assert max(right.numbers().values()) < 1e-5


def test_the_check_refuses_an_rms_reading_of_a_layer_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """S3 with our own handling switched off: centring is left out."""
    loaded = read("LayerNorm, window")
    monkeypatch.setattr("pkv_interp.models.norms.FrozenNorm.parts", lambda self, x: x.float() * self.factors)
    with pytest.raises(PkvError, match="parts of the stream of Starcoder2ForCausalLM do not sum"):
        check_model(loaded.model, loaded.spec)


def test_the_check_refuses_frequencies_that_follow_the_length_unknown_how() -> None:
    """S5 with our own handling switched off: the rotary module does not say what it does."""
    model = built("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4})
    loaded = loaded_of(model)
    assert loaded.check.rotation > 0.01
    rotary: Any = model.model.rotary_emb
    forward = rotary.forward

    def follows(x: Tensor, position_ids: Tensor) -> tuple[Tensor, ...]:
        return tuple(t * (1 + position_ids.max() / 1000) for t in forward(x, position_ids))

    rotary.rope_type, rotary.forward = "default", follows
    with pytest.raises(PkvError, match="rotary frequencies of LlamaForCausalLM follow the length"):
        check_model(model, loaded.spec)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_record_holds_the_numbers_of_the_check(family: str) -> None:
    loaded = tiny(family)
    assert loaded.info.check == loaded.check.numbers()
    assert set(loaded.info.check) == {"stream", "attention", "lens", "direct_logits", "rotation"}
    assert max(loaded.info.check.values()) < 1e-5


def test_a_vision_model_without_a_language_model_of_its_own_is_refused_in_a_short_line(
    tmp_path: Path,
) -> None:
    """T7: transformers lists every architecture it knows."""
    text = {"vocab_size": 1920, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512}
    vision = {"depth": 1, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32, "out_hidden_size": 64}
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
    config = Qwen2_5_VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=vision)
    Qwen2_5_VLForConditionalGeneration(config).save_pretrained(tmp_path)
    tiny("qwen3").tokenizer.save_pretrained(tmp_path)
    with pytest.raises(PkvError, match="Qwen2_5_VLTextConfig.*use a causal language model") as caught:
        load_local(tmp_path)
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)
