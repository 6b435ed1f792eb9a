"""Contexts of the keystone experiment: one text recomputed whole, and composed from transplanted chunks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from transformers import PreTrainedTokenizerBase

from pkv_interp.cache import AttentionLayout
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, splice
from pkv_interp.editing import EditableContext, State
from pkv_interp.errors import PkvError
from pkv_interp.measure.edit_scenes import EditScene, open_context
from pkv_interp.measure.splices import spliced_in_context
from pkv_interp.models.load import LoadedModel
from pkv_interp.prompts.blocks import Span, block_span

#: Blocks of each chunk, in the order of the prompt.
Cut = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, eq=False)
class Versions:
    """One context whose field has the old and the new value, recomputed whole.

    Attributes:
        context: of the old value.
        old: prefilled with the old value.
        new: prefilled with the new one.
    """

    context: EditableContext
    old: State
    new: State

    @classmethod
    def of(cls, loaded: LoadedModel, scene: EditScene) -> "Versions":
        """Prefill both."""
        context = open_context(loaded, scene)
        new = context.edit(scene.task.field, scene.task.new, "full_reprefill")
        return cls(context, context.prefill(), new)


def composed(loaded: LoadedModel, state: State, cut: Cut) -> State:
    """The state with its blocks transplanted: each chunk precompiled alone and spliced, the rest run live.

    Args:
        loaded: the model.
        state: recomputed whole.
        cut: blocks of each chunk.
    """
    runner, spans = Runner.of(loaded.model), _spans(state, cut)
    cache = compose(runner, loaded.tokenizer, state.ids, spans, state.cache.layout)
    return replace(state, cache=cache, method="composed", fresh=False)


def compose(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    ids: tuple[int, ...],
    spans: Sequence[Span],
    layout: AttentionLayout | None = None,
) -> FrozenCache:
    """A cache of ``ids`` whose spans, one after the other, are spliced chunks.

    Args:
        runner: of the model.
        tokenizer: of the model.
        ids: the context.
        spans: of the chunks.
        layout: who sees whom in the context; where there is one, chunks are blind to each other and to what
            stands before them, and the cache says so.

    Raises:
        PkvError: a span does not begin where the one before it ends.
    """
    if any(one[1] != two[0] for one, two in zip(spans, spans[1:], strict=False)):
        raise PkvError(f"the chunks {spans} do not follow one another", "cut the prompt into whole blocks")
    if layout is None:
        chunks = [precompile(runner, tokenizer, ids[start:stop]) for start, stop in spans]
        prefix = runner.prefill(ids[: spans[0][0]]).cache
        return _extended(runner, splice(runner, prefix, *chunks), ids)
    chunks = [
        precompile(runner, tokenizer, ids[start:stop], blind=True, layout=_inside(layout, start, stop))
        for start, stop in spans
    ]
    first = spans[0][0]
    prefix = runner.prefill(ids[:first], _inside(layout, 0, first)).cache
    return _extended(runner, splice(runner, prefix, *chunks, end=layout.end), ids)


def _inside(layout: AttentionLayout, start: int, stop: int) -> AttentionLayout:
    """Who sees whom in a part of a context, which comes before the last block."""
    return replace(layout.within(start, stop).moved(-start), end=stop - start)


def at_own_position(loaded: LoadedModel, state: State, cut: Cut) -> State:
    """The state with its chunks precompiled after their own context: a splice that has to change nothing.

    Args:
        loaded: the model.
        state: recomputed whole.
        cut: blocks of each chunk.
    """
    runner, spans = Runner.of(loaded.model), _spans(state, cut)
    prefix = state.cache.slice(0, spans[0][0])
    layout = state.cache.layout
    made = spliced_in_context(runner, loaded.tokenizer, prefix, state.ids, spans, layout)
    return replace(state, cache=_extended(runner, made, state.ids), fresh=False)


def _spans(state: State, cut: Cut) -> list[Span]:
    return [block_span(state.layout.head.prompt, *blocks) for blocks in cut]


def _extended(runner: Runner, cache: FrozenCache, ids: tuple[int, ...]) -> FrozenCache:
    """The cache of all of ``ids``, the rest run after what is there."""
    rest = ids[cache.length :]
    return runner.extend(cache, rest).cache if rest else cache
