"""The embedded models as the registry has them: those that lie in the cache are read as they were made."""

from collections.abc import Callable
from typing import Any

import pytest

from pkv_interp.models import embedded
from pkv_interp.models.catalogue import ModelConfig, load_catalogue_entry
from pkv_interp.models.load import LoadedModel, load

CODER = "qwen2.5-coder-0.5b"
TEXT = (
    "Water is a chemical compound made of hydrogen and oxygen. It is essential for all known forms of life. "
    "At standard temperature and pressure it is a liquid, and it freezes at zero degrees Celsius."
)


@pytest.mark.slow
def test_the_real_one_has_the_shape_it_should(load_once: Callable[[ModelConfig], LoadedModel]) -> None:
    loaded = load_once(load_catalogue_entry("smollm2-135m-base", device="cpu", dtype="float32"))
    spec = loaded.spec
    assert (spec.n_layers, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.d_model) == (30, 9, 3, 64, 576)
    assert spec.windows == (None,) * 30
    assert spec.tied
    tokenizer = loaded.tokenizer
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer("hello").input_ids[0] != 1
    assert isinstance(tokenizer.chat_template, str)
    assert load(loaded.config).info.weight_sha256 == loaded.info.weight_sha256


@pytest.mark.slow
@pytest.mark.skipif(not embedded.is_cached("gemma3-270m"), reason="fetched on request only")
def test_gemma_is_read_as_it_was_made() -> None:
    loaded = load(load_catalogue_entry("gemma3-270m-base", device="cpu", dtype="float32"))
    spec = loaded.spec
    assert (spec.n_layers, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.d_model) == (18, 4, 1, 256, 640)
    assert spec.windows == tuple(None if layer % 6 == 5 else 512 for layer in range(18))
    assert spec.tied
    config: Any = loaded.model.config
    rope = config.rope_parameters
    assert rope["full_attention"]["rope_theta"] == 1e6
    assert rope["sliding_attention"]["rope_theta"] == 1e4
    assert config.query_pre_attn_scalar == 256
    tokenizer = loaded.tokenizer
    assert tokenizer.chat_template is None
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    assert ids[0, 0] == tokenizer.bos_token_id == 2
    # Norms read without their 1, a wrong rotary base or untied embeddings give many nats more.
    assert float(loaded.model(ids, labels=ids).loss) < 2.6


@pytest.mark.slow
@pytest.mark.skipif(not embedded.is_cached(CODER), reason="fetched on request only")
def test_the_small_coder_is_read_as_it_was_made() -> None:
    loaded = load(load_catalogue_entry(CODER, device="cpu", dtype="float32"))
    spec = loaded.spec
    assert (spec.n_layers, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.d_model) == (24, 14, 2, 64, 896)
    assert spec.windows == (None,) * 24
    tokenizer = loaded.tokenizer
    assert isinstance(tokenizer.chat_template, str)
    ids = tokenizer(TEXT, return_tensors="pt").input_ids
    # Without the biases of its attention or with another rotary base it says many nats more.
    assert float(loaded.model(ids, labels=ids).loss) < 3.0
