"""Contexts of the keystone experiment: one text recomputed whole, and composed from transplanted chunks."""

from dataclasses import dataclass, replace

from experiments._composing_cases import Span, block_span
from experiments._editing_cases import Item, open_context
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.frozen import FrozenCache
from pkv_interp.composing import precompile, splice
from pkv_interp.editing import EditableContext, State
from pkv_interp.errors import PkvError
from pkv_interp.models.load import LoadedModel

#: How the three blocks are cut into chunks, each precompiled alone. Session and policy refer to one another
#: (the policy names the field); the tools block refers to neither.
CUTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "colocated": (("session", "policy", "tools"),),
    "split": (("session",), ("policy", "tools")),
    "independent": (("session", "policy"), ("tools",)),
}
#: The chunk that edits are made in: the field and the rule that reads it.
EDITED = (("session", "policy"),)


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
    def of(cls, loaded: LoadedModel, item: Item) -> "Versions":
        """Prefill both."""
        context = open_context(loaded, item)
        new = context.edit(item.task.field, item.task.new, "full_reprefill")
        return cls(context, context.prefill(), new)


def composed(loaded: LoadedModel, state: State, cut: tuple[tuple[str, ...], ...]) -> State:
    """The state with its blocks transplanted: each chunk precompiled alone and spliced, the rest run live."""
    prompt = state.layout.head.prompt
    spans = [block_span(prompt, *blocks) for blocks in cut]
    cache = compose(Runner.of(loaded.model), loaded, state.ids, spans)
    return replace(state, cache=cache, method="composed", fresh=False)


def compose(runner: Runner, loaded: LoadedModel, ids: tuple[int, ...], spans: list[Span]) -> FrozenCache:
    """A cache of ``ids`` whose spans, one behind the other, are spliced chunks."""
    if any(one[1] != two[0] for one, two in zip(spans, spans[1:], strict=False)):
        raise PkvError(f"the chunks {spans} do not follow one another", "cut the prompt into whole blocks")
    chunks = [precompile(runner, loaded.tokenizer, ids[start:stop]) for start, stop in spans]
    prefix = runner.prefill(ids[: spans[0][0]]).cache
    spliced = splice(runner, prefix, *chunks)
    rest = ids[spliced.length :]
    return runner.extend(spliced, rest).cache if rest else spliced


def at_own_position(loaded: LoadedModel, state: State, cut: tuple[tuple[str, ...], ...]) -> State:
    """The state with its chunks precompiled behind their own context: a splice that has to change nothing."""
    runner, cache = Runner.of(loaded.model), state.cache
    first = block_span(state.layout.head.prompt, *cut[0])[0]
    made = cache.slice(0, first)
    for start, stop in (block_span(state.layout.head.prompt, *blocks) for blocks in cut):
        context = state.ids[:start]
        chunk = precompile(runner, loaded.tokenizer, state.ids[start:stop], context=context, sink="prefix")
        made = splice(runner, made, chunk)
    return replace(state, cache=runner.extend(made, state.ids[made.length :]).cache, fresh=False)
