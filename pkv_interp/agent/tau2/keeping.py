"""Ways to keep a visit's cache up with the world: what each runs at a turn, and what it leaves stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pkv_interp.agent.arms import FIELD_ERRATUM, FULL, PREFIX_CACHE, Arm
from pkv_interp.agent.tau2.visits import Span
from pkv_interp.cache.compute import Computed, Runner
from pkv_interp.cache.frozen import FrozenCache

ERRATUM = Arm("erratum", erratum=True)
FIELD_ONLY = Arm("field_only", refresh=True)
#: States right before the request: what changes is run anew with the request, and nothing is stale.
FIELD_LAST = Arm("field_last", reprefill="changed")
UNIFIED = Arm("unified", composed=True, refresh=True, erratum=True)
STALE = Arm("stale")
#: Every arm, the reference first.
ARMS: tuple[Arm, ...] = (
    FULL,
    PREFIX_CACHE,
    ERRATUM,
    FIELD_ONLY,
    FIELD_ERRATUM,
    FIELD_LAST,
    UNIFIED,
    STALE,
)
#: Arms that change the prompt alone: what any server can be asked.
PROMPT_ARMS = tuple(arm for arm in ARMS if not (arm.refresh or arm.composed))

#: Puts the precompiled policy after a prefix; the tokens it ran again are counted.
Splice = Callable[[FrozenCache], tuple[FrozenCache, int]]


@dataclass(frozen=True, eq=False)
class Kept:
    """A prompt that was computed; later turns keep what they have in common with it."""

    ids: tuple[int, ...]
    cache: FrozenCache


def opened(
    runner: Runner, ids: tuple[int, ...], policy: Span, splice: Splice | None = None
) -> tuple[Kept, int]:
    """The cache of a session before its first request, and how many tokens were run for it.

    Args:
        runner: the model.
        ids: everything before the request.
        policy: where the policy stands in it.
        splice: puts the precompiled policy in place; None computes it where it stands.
    """
    if splice is None:
        return Kept(ids, runner.prefill(ids).cache), len(ids)
    start, end = policy
    joined, again = splice(runner.prefill(ids[:start]).cache)
    return Kept(ids, runner.extend(joined, ids[end:]).cache), start + again + len(ids) - end


def turn(
    runner: Runner, arm: Arm, kept: Kept, ids: tuple[int, ...], fields: tuple[Span, ...]
) -> tuple[Computed, int]:
    """A turn's cache and logits, and how many tokens were run.

    Args:
        runner: the model.
        arm: how the cache is kept.
        kept: of the turn before, or of the opened session.
        ids: the turn's whole prompt.
        fields: where the states stand in it.
    """
    if arm.reprefill == "all":
        return runner.prefill(ids), len(ids)
    cache, before, refreshed = kept.cache, kept.ids, 0
    for start, end in fields if arm.refresh else ():
        value = ids[start:end]
        if before[start:end] != value:
            cache = runner.recompute(cache, range(start, end), value).cache
            before, refreshed = (*before[:start], *value, *before[end:]), refreshed + len(value)
    same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
    same = min(same, len(ids) - 1)  # the last token is always run: its logits decide
    return runner.extend(cache.slice(0, same), ids[same:]), refreshed + len(ids) - same
