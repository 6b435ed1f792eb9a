"""Tiny random models: seeded, sensitive, and with the template habits of their originals."""

import hashlib
import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from jinja2 import TemplateError

from pkv_interp.errors import PkvError
from pkv_interp.models.chat import accept_system_role
from pkv_interp.models.hashing import weight_sha256
from pkv_interp.models.load import LoadedModel
from pkv_interp.models.tiny import FAMILIES, MAX_POSITIONS, SLIDING_FAMILIES, tiny_model
from pkv_interp.models.tiny_tokenizer import MAX_VOCAB, tiny_tokenizer, train_tokenizer
from pkv_interp.tasks.corpus import corpus
from tests import families

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who is there?"}]


def test_the_models_are_small_and_say_that_they_are_random(tiny: LoadedModel) -> None:
    assert 2 <= tiny.spec.n_layers <= 6
    assert tiny.info.random_weights
    assert tiny.info.dtype == "float32"
    assert tiny.info.n_parameters < 500_000
    assert tiny.model.config.max_position_embeddings == MAX_POSITIONS
    assert not tiny.model.training
    assert not any(parameter.requires_grad for parameter in tiny.model.parameters())


def test_one_token_moves_the_logits(tiny: LoadedModel) -> None:
    ids = torch.randint(300, tiny.spec.vocab_size, (1, 60), generator=torch.Generator().manual_seed(2))
    ids = ids.repeat(4, 1)
    for row, position in enumerate((5, 30, 55), start=1):
        ids[row, position] = (ids[row, position] + 7) % 300 + 300
    logits = tiny.model(ids).logits[:, -1]
    assert (logits[1:] - logits[0]).abs().amax(1).min() > 1e-2


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_alone_decides_and_the_global_state_is_kept(family: str) -> None:
    before = torch.get_rng_state()
    first = weight_sha256(tiny_model(family, 3)[0])
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert weight_sha256(tiny_model(family, 3)[0]) == first
    assert weight_sha256(tiny_model(family, 4)[0]) != first


def test_bad_arguments() -> None:
    with pytest.raises(PkvError, match="unknown tiny family 'gpt2'; use one of llama"):
        tiny_model("gpt2")
    with pytest.raises(PkvError, match="tiny llama has no sliding window"):
        tiny_model("llama", window=16)
    with pytest.raises(PkvError, match="tiny gemma2 does not support attention 'sdpa'"):
        tiny_model("gemma2", attention="sdpa")


def test_sliding_families_take_a_window() -> None:
    for family in SLIDING_FAMILIES:
        assert tiny_model(family, window=512)[0].config.sliding_window == 512


def test_every_word_of_the_scenarios_is_one_token(tiny: LoadedModel) -> None:
    words = {word for text in corpus() for word in re.findall(r"[^\W\d_]+|\d+", text)}
    assert len(words) > 100
    split = {w for w in words if len(tiny.tokenizer(f" {w}", add_special_tokens=False).input_ids) != 1}
    assert split == set()
    assert len(tiny.tokenizer) == tiny.spec.vocab_size <= MAX_VOCAB


def test_any_text_comes_back(tiny: LoadedModel) -> None:
    for text in ("naïve – 東京 42\n\n\tyes", corpus()[0]):
        ids = tiny.tokenizer(text, add_special_tokens=False).input_ids
        assert tiny.tokenizer.decode(ids) == text


def test_offsets_cover_the_text_without_gaps(tiny: LoadedModel) -> None:
    text = corpus()[0]
    offsets = tiny.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert "".join(text[start:stop] for start, stop in offsets) == text


def test_training_is_the_same_in_another_process() -> None:
    here = hashlib.sha256(train_tokenizer(corpus()).to_str().encode()).hexdigest()
    code = (
        "import hashlib; from pkv_interp.tasks.corpus import corpus;"
        "from pkv_interp.models.tiny_tokenizer import train_tokenizer as t;"
        "import sys; sys.stdout.write(hashlib.sha256(t(corpus()).to_str().encode()).hexdigest())"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "3", "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == here


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3"])
def test_template_and_tokenizer_both_write_bos(family: str) -> None:
    tokenizer = families.tiny(family).tokenizer
    text = str(tokenizer.apply_chat_template(CHAT[1:], tokenize=False))
    assert text.startswith("<bos>")
    assert tokenizer("word").input_ids[0] == tokenizer.bos_token_id
    assert tokenizer(text, add_special_tokens=False).input_ids.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("family", ["qwen3", "mistral", "phi3", "gpt-oss"])
def test_the_others_have_no_bos(family: str) -> None:
    tokenizer = families.tiny(family).tokenizer
    assert tokenizer.bos_token is None
    assert not str(tokenizer.apply_chat_template(CHAT, tokenize=False)).startswith("<bos>")


def test_a_loaded_template_takes_a_system_message_and_keeps_the_texts(tiny: LoadedModel) -> None:
    text = str(tiny.tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True))
    assert text.index("Be brief.") < text.index("Who is there?")
    assert text.count("Be brief.") == 1


def test_a_template_that_refuses_a_system_message_is_mended() -> None:
    tokenizer = tiny_tokenizer("gemma2")
    with pytest.raises(TemplateError, match="System role not supported"):
        tokenizer.apply_chat_template(CHAT, tokenize=False)
    plain = tokenizer.apply_chat_template(CHAT[1:], tokenize=False)
    accept_system_role(tokenizer)
    assert tokenizer.apply_chat_template(CHAT[1:], tokenize=False) == plain
    merged = [{"role": "user", "content": "Be brief.\n\nWho is there?"}]
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == tokenizer.apply_chat_template(
        merged, tokenize=False
    )


def test_templates_that_need_no_mending_are_left() -> None:
    for family in ("llama", "gemma3"):
        tokenizer = tiny_tokenizer(family)
        before = tokenizer.chat_template
        accept_system_role(tokenizer)
        assert tokenizer.chat_template == before
    tokenizer.chat_template = None
    accept_system_role(tokenizer)
    assert tokenizer.chat_template is None


def test_the_thinking_switch_reaches_the_template() -> None:
    loaded = families.tiny("qwen3")
    assert loaded.config.thinking is False
    options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
    off = str(loaded.tokenizer.apply_chat_template(CHAT, **{**options, "enable_thinking": False}))
    on = str(loaded.tokenizer.apply_chat_template(CHAT, **{**options, "enable_thinking": True}))
    assert off.endswith("<think>\n\n</think>\n\n")
    assert "<think>" not in on
    assert families.tiny("llama").config.thinking is None
