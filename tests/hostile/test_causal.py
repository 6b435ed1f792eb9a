"""A model that does not read from left to right from position 0 on, or drops at random, is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.cache import Runner, reposition
from pkv_interp.editing import EditableContext, field, user
from pkv_interp.errors import PkvError
from pkv_interp.models.tiny import tiny_model
from tests.hostile.models_of_positions import SHAPE, close, fresh, plain, words

DECODER = {"decoder_layers": 3, "decoder_attention_heads": 4, "decoder_ffn_dim": 96, "d_model": 64}


def made(architecture: str, **special: Any) -> Any:
    shape = {key: value for key, value in SHAPE.items() if key not in special.pop("without", ())}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(CONFIG_MAPPING[architecture](**shape | special)).eval()


@pytest.mark.parametrize(
    ("architecture", "special"),
    [
        ("bert", {"is_decoder": False}),
        ("electra", {"is_decoder": False}),
        ("llama", {"is_causal": False}),
        ("gemma3_text", {"use_bidirectional_attention": True, "sliding_window": 16}),
    ],
)
def test_a_model_whose_tokens_see_later_ones_is_refused(architecture: str, special: dict[str, Any]) -> None:
    """Extend and recompute were 0.2 to 0.8 off."""
    with pytest.raises(PkvError, match="see the tokens after them: it is not causal"):
        Runner.of(made(architecture, **special))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_told_from_a_mask_that_is_not_there(dtype: torch.dtype) -> None:
    """A batch may be rounded in another order than one row of it, as kernels of a GPU do."""
    model: Any = fresh("default")
    model.to(dtype)
    noise = torch.Generator().manual_seed(0)

    def rounded(_module: Any, _inputs: Any, out: Any) -> Any:
        return out * (1 + torch.randn(out.shape, generator=noise).to(dtype) * torch.finfo(dtype).eps)

    handle = model.model.norm.register_forward_hook(rounded)
    assert Runner.of(model).windows == (None,) * model.config.num_hidden_layers
    handle.remove()
    with pytest.raises(PkvError, match="not causal"):
        Runner.of(made("llama", is_causal=False).to(dtype))


def test_a_mask_that_is_switched_off_later_is_found() -> None:
    model: Any = fresh("default")
    runner = Runner.of(model)
    for layer in model.model.layers:
        layer.self_attn.is_causal = False
    with pytest.raises(PkvError, match="changed after it was read"):
        runner.prefill(words(5))
    with pytest.raises(PkvError, match="not causal"):
        Runner.of(model)


@pytest.mark.parametrize("architecture", ["roberta", "xlm-roberta"])
def test_positions_that_begin_elsewhere_are_refused(architecture: str) -> None:
    """The first position of RoBERTa's decoders is the one after the padding id: 4.6 of 8 off."""
    with pytest.raises(PkvError, match="does not number the tokens of a text 0, 1, 2"):
        Runner.of(made(architecture, is_decoder=True))


@pytest.mark.parametrize("architecture", ["bert", "opt", "gpt2"])
def test_decoders_with_learned_positions_are_right(architecture: str) -> None:
    model = made(architecture, is_decoder=True)
    ids, runner = words(12), Runner.of(model)
    with torch.no_grad():
        wanted = model(input_ids=torch.tensor([ids])).logits[0, -1].float()
    for found in (runner.prefill(ids), runner.extend(runner.prefill(ids[:5]).cache, ids[5:])):
        torch.testing.assert_close(found.logits, wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "special", "told"),
    [
        ("bart", DECODER, "is the decoder of an encoder-decoder"),
        ("pegasus", DECODER, "is the decoder of an encoder-decoder"),
        ("openai-gpt", {}, "keeps no cache of keys and values"),
        ("xlm", {}, "keeps no cache of keys and values"),
    ],
)
def test_what_has_no_cache_of_its_own_is_told_so(
    architecture: str, special: dict[str, Any], told: str
) -> None:
    """Before: "has 4 layers and keeps keys and values of 12: layers share a cache"."""
    with pytest.raises(PkvError, match=told):
        Runner.of(made(architecture, **special))


def test_training_mode_is_refused_before_every_forward() -> None:
    """Two prefills of one prompt differed by 4.3."""
    model: Any = fresh("default", attention_dropout=0.3)
    runner = Runner.of(model)
    cache = runner.prefill(words(6)).cache
    model.train()
    for run in (
        lambda: runner.prefill(words(6)),
        lambda: runner.extend(cache, [300]),
        lambda: runner.recompute(cache, [5], [300]),
        lambda: Runner.of(model),
    ):
        with pytest.raises(PkvError, match=r"LlamaForCausalLM is in training mode; call model\.eval\(\)"):
            run()
    model.eval()
    model.model.layers[1].self_attn.train()
    with pytest.raises(PkvError, match=r"its model\.layers\.1\.self_attn is in training mode"):
        runner.prefill(words(6))


def test_what_was_read_of_a_model_follows_its_changes() -> None:
    """Frequencies and windows were kept per model object: moved keys stayed those of the old rotation."""
    model: Any = fresh("default")
    ids = words(10)
    reposition(model, Runner.of(model).prefill(ids).cache, 5)
    model.model.rotary_emb.inv_freq.mul_(0.5)
    runner = Runner.of(model)
    close(reposition(model, runner.prefill(ids).cache, 30), plain(model, ids, start=30)[0])
    windowed: Any = fresh("default", "mistral", sliding_window=8)
    assert set(Runner.of(windowed).windows) == {8}
    windowed.config.sliding_window = 3
    for layer in windowed.model.layers:
        layer.self_attn.sliding_window = 3
    assert set(Runner.of(windowed).windows) == {3}


def test_a_context_is_prefilled_again_after_a_weight_edit() -> None:
    """It kept the cache of the old weights: logits 1.0 off."""
    model: Any
    model, tokenizer = tiny_model("llama", 0)
    given = [user("state: ", field("state", "open"), "\nSay what now.")]
    context = EditableContext(model, tokenizer, given, chat=False)
    before = context.prefill()
    assert context.prefill() is before
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(2)
    other = EditableContext(model, tokenizer, given, chat=False).prefill()
    close(context.prefill().cache, other.cache)
