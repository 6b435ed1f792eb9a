"""A small memory, and a count of the tokens that a model is run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pkv_interp.cache import Runner
from pkv_interp.memory import CompiledMemory, Memory, field
from pkv_interp.models.load import LoadedModel

SETTING, OLD, NEW, LONG = "order status", "pending", "shipped", "shipped late on Tuesday"
OPTIONS = ("cancel", "deny")
SETTINGS = {"language": "English", SETTING: OLD, "archive": "second floor"}
TITLE = "What we know about the customer:"
BEFORE = "You handle orders for a web shop.\n"
QUESTION = "\nAnswer with one word, cancel or deny. Action:"


def written(**changes: str) -> Memory:
    """One block of three settings."""
    return Memory({**SETTINGS, **changes}, title=TITLE)


def in_blocks(status: str = OLD) -> Memory:
    """Three blocks: settings, a line of a user's own form, and a text."""
    return Memory(
        [
            {"language": "English", "archive": "second floor"},
            [f"- [orders] {SETTING}: ", field(SETTING, status), " (checked today)\n"],
            "The customer asks us to cancel order A1000.\n",
        ]
    )


def compiled(loaded: LoadedModel, memory: Memory, context: str = "") -> CompiledMemory:
    return memory.precompile(loaded.model, loaded.tokenizer, context=context)


@contextmanager
def tokens_run(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The tokens of every forward within, as they are run."""
    counted: list[int] = []
    forward = Runner.forward

    def counting(self: Runner, tokens: Any, *args: Any, **kwargs: Any) -> Any:
        counted.append(tokens.numel())
        return forward(self, tokens, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Runner, "forward", counting)
        yield counted
