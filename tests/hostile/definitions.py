"""What each editing method promises, by forwards of transformers' own."""

from __future__ import annotations

import torch

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.early import most_moved
from pkv_interp.editing import State
from pkv_interp.editing.in_place import in_place
from pkv_interp.editing.methods.epic import LINKS, chunk_starts
from pkv_interp.editing.registry import Change
from tests.hostile import one_token_at_a_time as slow
from tests.hostile.models_of_positions import close, plain


def is_defined(state: State, after: State, change: Change) -> None:
    """The new state's columns are those that its method promises."""
    model, ids = state.context.runner.model, after.ids
    assert after.cache.length == len(ids)
    name = change.method.partition("@")[0]
    if after.fresh:
        close(after.cache, plain(model, ids)[0])
        return
    assert name != "full_reprefill"
    if after.diagnostic is not None:
        close(after.cache, state.edit(change.field, change.value, after.diagnostic.used).cache)
        return
    if name == "stale" or (ids == state.ids and after.cost.tokens == 0):
        close(after.cache, state.cache, 0.0)
        return
    if name in ("erratum", "hoist"):
        old = _common(state.cache, after.cache)
        close(after.cache, slow.appended(model, after.cache.slice(0, old), ids[old:]))
        return
    if name == "suffix_recompute":
        _is_suffix_recompute(state, after, change)
        return
    place = in_place(state, change, beside_notices=True)
    if name == "oracle_patch":
        count = len(place.after) if change.amount == float("inf") else int(change.amount or 0)
        taken = [*place.own, *list(reversed(place.after))[:count]]
        close(after.cache, slow.pasted(state.cache, taken, plain(model, place.ids)[0]))
        return
    made = slow.rerun(model, state.cache, _rerun(state, change), place.ids, len(place.ids))
    if name == "field_erratum":
        made = slow.appended(model, made, ids[len(place.ids) :])
    close(after.cache, made)


def _rerun(state: State, change: Change) -> list[int]:
    """Positions that a method runs again."""
    place = in_place(state, change, beside_notices=True)
    name, later = change.method.partition("@")[0], list(place.after)
    count = len(later) if change.amount == float("inf") else int(change.amount or 0)
    if name in ("field_only", "field_erratum"):
        return list(place.own)
    if name == "recompute":
        return sorted({*place.own, *later[len(later) - count :]})
    if name == "epic":
        links = LINKS if change.amount is None else change.amount
        starts = [s for s in (*chunk_starts(place.layout), len(place.ids))]
        near = [i for i in later if i - max(s for s in starts if s <= i) < links]
        return sorted({*place.own, *near})
    assert name == "cacheblend", f"{name} has no definition here: give it one"
    run, n = state.context.runner, round(float(change.amount or 0.0) * len(later))
    start = place.own[0]
    moved = most_moved(run, state.cache, start, place.ids[start:], later, n)
    return sorted({*place.own, *moved})


def _is_suffix_recompute(state: State, after: State, change: Change) -> None:
    """Run from the first changed token on, or head, moved middle and end."""
    model, ids = state.context.runner.model, after.ids
    start = _common(state.cache, after.cache)
    if change.amount is None:
        close(after.cache, slow.appended(model, after.cache.slice(0, start), ids[start:]))
        return
    kept = 0
    while kept < min(len(ids), len(state.ids)) - start and _value_equal(state.cache, after.cache, kept):
        kept += 1
    last = min(int(min(change.amount, len(ids))), len(ids))
    if last:
        head = after.cache.slice(0, len(ids) - last)
        close(after.cache, slow.appended(model, head, ids[len(ids) - last :]))
    # Keys of the first layer depend on their token and its position alone.
    torch.testing.assert_close(after.cache.keys[0], plain(model, ids)[0].keys[0], atol=1e-4, rtol=0)


def _value_equal(one: FrozenCache, two: FrozenCache, back: int) -> bool:
    return torch.equal(one.values[-1][:, :, -1 - back], two.values[-1][:, :, -1 - back])


def _common(one: FrozenCache, two: FrozenCache) -> int:
    """Number of columns that are bit for bit the same from the first on."""
    n = min(one.length, two.length)
    same = torch.ones(n, dtype=torch.bool)
    for x, y in zip(slow.columns(one), slow.columns(two), strict=True):
        same &= (x[:, :, :n] == y[:, :, :n]).all(-1).all(1)[0]
    return n if bool(same.all()) else int((~same).nonzero()[0])
