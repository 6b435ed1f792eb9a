"""Chunks: a piece of text prefilled once, to be spliced into other contexts later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from transformers import PreTrainedTokenizerBase

from pkv_interp.cache.attention_layout import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing.identity import identity_of
from pkv_interp.errors import PkvError
from pkv_interp.ids import TokenIds, as_ids
from pkv_interp.names import Sink
from pkv_interp.prompts.special import checked_text, following, missing_prefix

SINKS: tuple[str, ...] = get_args(Sink)


@dataclass(frozen=True, eq=False)
class Chunk:
    """The columns of one piece of text.

    Attributes:
        ids: its tokens.
        cache: their keys and values, one column per token and nothing else.
        start: position of the first column when it was computed: the number of tokens before it, where none
            of them is of a picture.
        context: those tokens.
        sink: what stood before it.
        identity: of the model (weights, dtype, rotation).
        blind: where it is spliced in, its tokens see each other alone, and the whole says so.
    """

    ids: tuple[int, ...]
    cache: FrozenCache
    start: int
    context: tuple[int, ...]
    sink: Sink
    identity: str
    blind: bool = False

    @property
    def length(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    @property
    def extent(self) -> int:
        """Number of positions that it takes: fewer than its tokens where it has pictures with M-RoPE."""
        return self.length if self.cache.pictured is None else self.cache.pictured.end - self.start


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str | TokenIds) -> tuple[int, ...]:
    """Ids of a text that stands after others; ids are taken as they are.

    Without special tokens, and without the blank that some tokenizers put before a text.

    Raises:
        PkvError: nothing is left.
    """
    return _some(following(text, tokenizer) if isinstance(text, str) else text)


def first_ids(tokenizer: PreTrainedTokenizerBase, text: str | TokenIds) -> tuple[int, ...]:
    """Ids of a text that a context begins with: what opens a text (BOS) is put before it, unless it is there.

    What the tokenizer would put after a text (EOS) is left out. Ids are taken as they are.

    Raises:
        PkvError: nothing is left.
    """
    if not isinstance(text, str):
        return _some(text)
    ids = _bare(tokenizer, text)
    return (*missing_prefix(list(ids), tokenizer), *ids)


def _bare(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[int, ...]:
    """Ids of a text with nothing before it, without special tokens."""
    given: Any = tokenizer(checked_text(text), add_special_tokens=False)["input_ids"]
    return _some(given)


def _some(given: Any) -> tuple[int, ...]:
    ids = as_ids(given)
    if not ids:
        raise PkvError("a chunk without a token was given", "give some text")
    return ids


def prefix(runner: Runner, tokenizer: PreTrainedTokenizerBase, text: str | TokenIds) -> FrozenCache:
    """The cache of what a context begins with, to splice chunks after: with BOS, where the model has one.

    Chunks (``precompile``) and the text after them (``token_ids``) are encoded without.

    Raises:
        PkvError: an empty text, or an id outside the vocabulary.
    """
    return runner.prefill(first_ids(tokenizer, text)).cache


def before(tokenizer: PreTrainedTokenizerBase, context: str | TokenIds, sink: Sink) -> tuple[int, ...]:
    """The tokens that stand before a chunk while it is computed.

    Args:
        tokenizer: of the model.
        context: text or ids, for ``sink="prefix"``.
        sink: see ``precompile``.

    Raises:
        PkvError: an unknown sink, a context where none belongs or none where one does, no BOS token.
    """
    if sink not in SINKS:
        raise PkvError(f"sink '{sink}' is unknown", f"use one of {', '.join(SINKS)}")
    if isinstance(context, str):
        context = _bare(tokenizer, context) if context else ()
    context = as_ids(context)
    if (sink == "prefix") != bool(context):
        raise PkvError(
            f"sink '{sink}' was given {len(context)} tokens of context",
            "give a context with sink='prefix' and with no other",
        )
    if sink != "bos":
        return context
    bos = tokenizer.bos_token_id
    if not isinstance(bos, int):
        raise PkvError("the tokenizer has no BOS token", "use sink='none' or 'prefix'")
    return (bos,)


def parts(
    tokenizer: PreTrainedTokenizerBase, text: str | TokenIds, context: str | TokenIds, sink: Sink
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tokens of a chunk, and those that stand before it while it is computed.

    A BOS that the text itself begins with is the sink where that is BOS, and is not written twice.

    Args:
        tokenizer: of the model.
        text: the chunk.
        context: text or ids, for ``sink="prefix"``.
        sink: see ``precompile``.

    Raises:
        PkvError: an empty text, or a sink that does not fit.
    """
    ids, ahead = token_ids(tokenizer, text), before(tokenizer, context, sink)
    if sink == "bos" and isinstance(text, str) and ids[:1] == ahead:
        ids = _some(ids[1:])
    return ids, ahead


def precompile(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    text: str | TokenIds,
    *,
    context: str | TokenIds = (),
    sink: Sink = "none",
    blind: bool = False,
    layout: AttentionLayout | None = None,
) -> Chunk:
    """Prefill a chunk once (arXiv 2606.17107, composing).

    Args:
        runner: the model; for a chunk with pictures one that has them (``with_pictures``).
        tokenizer: of the model.
        text: the chunk, as text or as ids; text is encoded without special tokens, here and below.
        context: text or ids before it, for ``sink="prefix"``.
        sink: what the chunk's first tokens can attend to. "none": nothing, the chunk's own first token
            becomes the attention sink. "bos": the BOS token. "prefix": the context. What stands before is
            not part of the chunk.
        blind: the whole that the chunk is spliced into is to be read as one in which its tokens see each
            other alone. A splice is then exact: the cache of a prefill under that attention layout.
        layout: who sees whom in the chunk, in its own tokens: isolated spans.

    Raises:
        PkvError: an empty text, an id outside the vocabulary, a sink that does not fit, a blind chunk with
            anything before it, a layout together with a context, a model with a recurrent state, or picture
            tokens that do not fit the pictures.
    """
    if runner.appends_only:
        raise PkvError(
            f"{type(runner.model).__name__} has a recurrent state, which fits behind no other text",
            "use prefix, and Runner.extend for what comes after it",
        )
    ids, context = parts(tokenizer, text, context, sink)
    if blind and context:
        raise PkvError(
            f"a blind chunk was given {len(context)} tokens before it",
            "leave out sink and context, or blind",
        )
    if layout is not None and context:
        raise PkvError(
            f"a layout was given together with {len(context)} tokens before the chunk",
            "leave out sink and context, or the layout",
        )
    if layout is not None and layout.end < len(ids):
        raise PkvError(
            f"the layout's last block begins at {layout.end}, inside a chunk of {len(ids)} tokens",
            "let it begin at the chunk's end",
        )
    if blind and layout is not None and layout.blind:
        raise PkvError("a blind chunk has blind spans of its own", "leave out one of the two")
    whole = runner.prefill((*context, *ids), layout).cache
    columns = whole.slice(len(context), whole.length)
    start = len(context) if columns.pictured is None else int(columns.pictured.places[0, 0])
    return Chunk(ids, columns, start, context, sink, identity_of(runner.model), blind)
