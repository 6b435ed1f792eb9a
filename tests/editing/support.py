"""A small prompt with two fields, and comparisons of caches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.cache import FrozenCache
from pkv_interp.editing import EditableContext, State, field, system, user
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.segments import Message
from tests.families import SLIDING_FAMILIES, tiny

FIELD, OLD, NEW, LONG = "order status", "pending", "shipped", "shipped late on Tuesday"
OPTIONS = ("cancel", "deny")
QUESTION = "Answer with one word, cancel or deny."
#: Less than the prompt, so that a sliding layer does not see all of it.
WINDOW = 24


def messages(value: str = OLD, language: str = "English") -> tuple[Message, ...]:
    return (
        system("You handle orders for a web shop."),
        user(
            "Session\nlanguage: ",
            field("language", language),
            f"\n{FIELD}: ",
            field(FIELD, value),
            "\n\nPolicy\nReports are stored for seven years in the archive on the second floor.\n"
            "If the order status is shipped, the right action is cancel; otherwise it is deny.\n\n"
            "The customer asks us to cancel order A1000.\n",
        ),
    )


def context_of(model: LoadedModel, **changes: str) -> EditableContext:
    return EditableContext(model.model, model.tokenizer, messages(**changes), QUESTION)


def windowed(family: str) -> LoadedModel:
    """A tiny model whose window, if it has one, is shorter than the prompt."""
    return tiny(family, window=WINDOW if family in SLIDING_FAMILIES else None)


def gpt2() -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A random GPT-2, whose positions are learned, with a tokenizer that has no chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = tiny("phi3").tokenizer
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=3,
        n_head=2,
        n_positions=512,
        initializer_range=0.15,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config)
    return model.eval().requires_grad_(False), tokenizer


def columns(cache: FrozenCache, positions: Sequence[int]) -> torch.Tensor:
    """Float[2 layers, n_kv, positions, d]: keys and values of some columns."""
    return torch.cat([*cache.keys, *cache.values])[:, :, list(positions)]


def difference(a: FrozenCache, b: FrozenCache) -> float:
    """Largest difference of any key or value."""
    assert a.length == b.length
    return float((columns(a, range(a.length)) - columns(b, range(b.length))).abs().max())


def logit_difference(a: State, b: State) -> float:
    return float((a.logits() - b.logits()).abs().max())


def copy_of(cache: FrozenCache) -> torch.Tensor:
    return columns(cache, range(cache.length)).clone()
