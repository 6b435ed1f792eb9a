"""A memory as it is written: settings or blocks of text, with nothing computed yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from pkv_interp.memory import text
from pkv_interp.memory.compiled import CompiledMemory


@dataclass(frozen=True, init=False)
class Memory:
    """Settings or blocks of text that conversations share.

    Attributes:
        blocks: the segments of each block; every block is prefilled apart from the others.
    """

    blocks: tuple[text.Block, ...]

    def __init__(self, given: Any, *, title: str = "", line: str = text.LINE) -> None:
        """Read what a memory is to say; nothing is run yet.

        Args:
            given: a mapping of names to values, which is one block; or a list of blocks, each a mapping, a
                list of texts and ``field(name, value)``, or one text, which is then a setting of its own
                (``block 1``, ``block 2`` and so on).
            title: stands before the first block.
            line: of a setting in a mapping, with ``{name}`` and ``{value}`` in it.

        Raises:
            PkvError: no block or setting, a setting that stands twice or has no value.
        """
        object.__setattr__(self, "blocks", text.blocks_of(given, title, line))

    @property
    def settings(self) -> Mapping[str, str]:
        """The value of every setting, in the order of the text."""
        return text.settings_of(self.blocks)

    @property
    def text(self) -> str:
        """The whole memory, one block after another."""
        return "".join(segment.text for block in self.blocks for segment in block)

    def split(self, n: int) -> Memory:
        """The same text as ``n`` blocks of about one length, cut at ends of lines.

        Raises:
            PkvError: fewer lines with a setting than blocks.
        """
        return Memory(text.split(self.blocks, n))

    def precompile(self, model: PreTrainedModel, tokenizer: Any, *, context: str = "") -> CompiledMemory:
        """Prefill every block once, alone or after a context.

        Args:
            model: a Hugging Face causal language model in eval mode; it is never changed.
            tokenizer: its fast tokenizer.
            context: text that stands before each block while it is computed, such as the beginning of the
                conversations; "" for what the tokenizer puts before every text (BOS), or nothing.

        Raises:
            PkvError: the memory is longer than the model serves or than its window, or the last token of
                the context and the first of the memory are one.
        """
        return CompiledMemory.of(model, tokenizer, self.blocks, context)
