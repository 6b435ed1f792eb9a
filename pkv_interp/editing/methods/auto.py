"""The cheapest method that a look at the decision calls safe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pkv_interp.editing.cost import Cost, Stopwatch
from pkv_interp.editing.diagnostic import Diagnostic
from pkv_interp.editing.in_place import fits
from pkv_interp.editing.methods.erratum import append_erratum
from pkv_interp.editing.methods.field_only import field_only
from pkv_interp.editing.registry import Change, Outcome, find, register
from pkv_interp.editing.state import State
from pkv_interp.errors import PkvError


@dataclass(frozen=True, eq=False)
class _Tried:
    """A method that was run, and how long that took."""

    name: str
    outcome: Outcome
    milliseconds: float


@register("auto", any_length=True, options=("options", "wording", "fallback"))
def auto(state: State, change: Change) -> Outcome:
    """The field alone where the decision is the same with an erratum as well, otherwise both.

    ``options`` are those of the decision; without them the likeliest next token is compared. Where the value
    cannot be put in its place, the erratum is used, and its decision is compared with the stale one. Where
    the field alone is exact (an isolated field) nothing is compared, and there is no diagnostic.
    ``fallback`` names another method for where the field alone is not enough.
    """
    fallback = change.options.get("fallback")
    if fallback is not None and find(str(fallback), {})[0].name in ("auto", "stale"):
        raise PkvError(f"'{fallback}' is no fallback for auto", "name a method that changes the cache")
    if fits(state, change) and (exact := field_only(state, change)).fresh:
        return exact  # an isolated field: there is nothing to ask
    watch = Stopwatch(state.cache.device)
    cheap, reference = _try_both(state, change, watch)
    first, second = _after(state, cheap), _after(state, reference)
    (cheap_choice, cheap_margin), (choice, margin) = _decisions(first, second, change.options.get("options"))
    enough = cheap_choice == choice
    suffixes = sum(len(s.context.renderer.after(s.suffix())) for s in (first, second))
    run = reference.outcome.tokens + suffixes

    fallback = reference.name if fallback is None else str(fallback)
    if enough and cheap.name != "stale":
        used = cheap
    elif enough or fallback == reference.name:
        used = reference
    else:
        used = _try(state, change, fallback, watch)
        run += used.outcome.tokens
    asked = run - used.outcome.tokens
    length = used.outcome.cache.length
    cost = Cost(asked, asked / length, watch.read() - used.milliseconds)
    diagnostic = Diagnostic(
        enough, cheap.name, reference.name, cheap_choice, choice, cheap_margin, margin, used.name, cost
    )
    return replace(used.outcome, tokens=run, diagnostic=diagnostic)


def _try_both(state: State, change: Change, watch: Stopwatch) -> tuple[_Tried, _Tried]:
    """The cheap method, and the erratum on top of it."""
    begin = watch.read()
    if fits(state, change):
        names, first = ("field_only", "field_erratum"), field_only(state, change)
    else:
        names, first = ("stale", "erratum"), Outcome(state.layout, state.cache, 0, fresh=state.fresh)
    cheap = _Tried(names[0], first, watch.read() - begin)
    second = append_erratum(_after(state, cheap), change)
    both = replace(second, tokens=first.tokens + second.tokens)
    return cheap, _Tried(names[1], both, watch.read() - begin)


def _try(state: State, change: Change, name: str, watch: Stopwatch) -> _Tried:
    """Another method, with nothing but its amount."""
    begin = watch.read()
    method, amount = find(name, {})
    outcome = method.apply(state, Change(change.field, change.value, name, amount))
    return _Tried(name, outcome, watch.read() - begin)


def _after(state: State, tried: _Tried) -> State:
    made = tried.outcome
    return replace(state, layout=made.layout, cache=made.cache, fresh=made.fresh)


def _decisions(
    first: State, second: State, options: Sequence[str] | None
) -> tuple[tuple[str, float], tuple[str, float]]:
    """Choice and margin of both states; without options, of the tokens that either would write."""
    if options is not None:
        a, b = first.decide(options), second.decide(options)
        return (a.choice, a.margin), (b.choice, b.margin)
    cheap, reference = first.logits(), second.logits()
    best, other = int(reference.argmax()), int(cheap.argmax())
    if best == other:
        other = int(reference.topk(2).indices[1])
    decode = first.context.renderer.tokenizer.decode
    read = [(decode([int(x.argmax())]), float(x[best] - x[other])) for x in (cheap, reference)]
    return read[0], read[1]
