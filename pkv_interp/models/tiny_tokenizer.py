"""Tokenizers of the tiny random models: trained in process on the scenario texts, always the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import ByteLevel as ByteLevelProcessor
from tokenizers.processors import Sequence as ProcessorSequence
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

MAX_VOCAB = 4096

_PAD, _BOS, _EOS, _START, _END = "<pad>", "<bos>", "<eos>", "<|im_start|>", "<|im_end|>"
_TURN, _TURN_END = "<start_of_turn>", "<end_of_turn>"
_SPECIAL = [_PAD, _BOS, _EOS, _START, _END, _TURN, _TURN_END, "<think>", "</think>"]
_ROLES = "system user assistant model"

_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Qwen3 closes an empty thought itself when thinking is switched off.
_THINKING = _CHATML + (
    "{% if add_generation_prompt and enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
_TURNS = (
    "{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# Gemma 2 refuses a system message, Gemma 3 merges it into the user turn.
_REFUSE = (
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
)
_MERGE = (
    "{% if messages[0]['role'] == 'system' %}{% set messages = [{'role': 'user', 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)

#: Per family: the chat template, whether it and the tokenizer write BOS, and the end token.
_STYLES: dict[str, tuple[str, bool, str]] = {
    "llama": ("{{ bos_token }}" + _CHATML, True, _END),
    "qwen3": (_THINKING, False, _END),
    "gemma2": ("{{ bos_token }}" + _REFUSE + _TURNS, True, _EOS),
    "gemma3": ("{{ bos_token }}" + _MERGE + _TURNS, True, _EOS),
    "mistral": (_CHATML, False, _END),
    "phi3": (_CHATML, False, _END),
    "gpt-oss": (_CHATML, False, _END),
}


def train_tokenizer(texts: Sequence[str]) -> Tokenizer:
    """Byte-level BPE in which every word of ``texts`` is one token, with and without a space before it.

    A word is a run of letters or digits, as the GPT-2 pattern splits it. At most ``MAX_VOCAB`` entries.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.post_processor = ByteLevelProcessor(trim_offsets=False)
    words = sorted({word for text in (*texts, _ROLES) for word in re.findall(r"[^\W\d_]+|\d+", text)})
    trainer = BpeTrainer(
        vocab_size=MAX_VOCAB,
        min_frequency=1,
        show_progress=False,
        special_tokens=_SPECIAL,
        initial_alphabet=ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([*texts, *words, *(f" {word}" for word in words)], trainer)
    return tokenizer


@lru_cache(maxsize=1)
def _trained() -> str:
    # `tasks` is above this package, so it is not imported at the top; no other module here needs its texts.
    from pkv_interp.tasks.corpus import corpus

    return train_tokenizer(corpus()).to_str()


def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """A fresh tokenizer with the chat template and the BOS habits of ``family``.

    "llama", "gemma2" and "gemma3" put BOS before a text, and their templates write it too; "gemma2" refuses
    a system message, as its original does; "qwen3" has the ``enable_thinking`` switch.
    """
    template, has_bos, eos = _STYLES[family]
    tokenizer = Tokenizer.from_str(_trained())
    if has_bos:
        bos = TemplateProcessing(
            single=f"{_BOS} $A",
            pair=f"{_BOS} $A {_BOS} $B",
            special_tokens=[(_BOS, tokenizer.token_to_id(_BOS))],
        )
        tokenizer.post_processor = ProcessorSequence([ByteLevelProcessor(trim_offsets=False), bos])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=_BOS if has_bos else None,
        eos_token=eos,
        pad_token=_PAD,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = template
    return wrapped
