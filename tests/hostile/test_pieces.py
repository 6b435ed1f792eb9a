"""A text in pieces has the tokens of the whole text: BOS once, and no blank before a piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from pkv_interp.cache.compute import Runner
from pkv_interp.composing import precompile, prefix, token_ids
from pkv_interp.composing.chunk import first_ids
from tests.families import tiny

FIRST, CHUNK, ASK = "You run a shop.\n", "If the order is pending, wait.\n", "Action:"
#: How SentencePiece-style tokenizers put a blank before a text.
BLANKS: dict[str, Callable[[Tokenizer], None]] = {
    "prepend": lambda t: setattr(
        t,
        "normalizer",
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    ),
    "first": lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="first")),
    "always": lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.Metaspace(prepend_scheme="always")),
    "bytes": lambda t: setattr(t, "pre_tokenizer", pre_tokenizers.ByteLevel(add_prefix_space=True)),
}


def made(kind: str) -> Any:
    """A tokenizer of characters and few merges that begins with BOS and puts a blank before a text."""
    tokenizer = Tokenizer(BPE(unk_token="<unk>"))
    BLANKS[kind](tokenizer)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(vocab_size=120, special_tokens=["<unk>", "<s>"], show_progress=False)
    tokenizer.train_from_iterator([FIRST, CHUNK, ASK] * 3, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>")


@pytest.mark.parametrize("kind", BLANKS)
def test_the_pieces_have_the_tokens_of_the_whole(kind: str) -> None:
    tokenizer = made(kind)
    whole = tuple(tokenizer(FIRST + CHUNK + ASK)["input_ids"])
    pieces = (*first_ids(tokenizer, FIRST), *token_ids(tokenizer, CHUNK), *token_ids(tokenizer, ASK))
    assert pieces == whole


@pytest.mark.parametrize("kind", BLANKS)
def test_a_bos_that_is_written_is_not_written_again(kind: str) -> None:
    tokenizer = made(kind)
    bare = tuple(tokenizer(f"<s>{FIRST}", add_special_tokens=False)["input_ids"])
    assert first_ids(tokenizer, f"<s>{FIRST}") == bare
    assert first_ids(tokenizer, FIRST).count(1) == bare.count(1) == 1


def test_prefix_and_chunk_have_one_bos() -> None:
    runner, tokenizer = Runner.of(tiny("qwen3").model), made("bytes")
    assert prefix(runner, tokenizer, f"<s>{FIRST}").length == prefix(runner, tokenizer, FIRST).length
    chunk = precompile(runner, tokenizer, f"<s>{CHUNK}", sink="bos")
    assert chunk.context == (1,)
    assert 1 not in chunk.ids
    assert precompile(runner, tokenizer, "<s>", sink="none").ids == (1,)
