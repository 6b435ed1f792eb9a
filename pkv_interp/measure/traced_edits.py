"""The decision on an edited cache, traced: what it reads, and what is left of it without each source.

Knockouts and patches act on the decision token alone, where what the question's tokens had read of a source
counts as the question's. Knockouts act once more on all tokens that are run after the edit, so that none of
them sees the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pkv_interp.editing import State
from pkv_interp.editing.decision import option_ids
from pkv_interp.engine import Engine, Prefill
from pkv_interp.engine.sources import source_writes
from pkv_interp.interventions import Knockout, KVPatch, Row
from pkv_interp.measure.decision import token_margin
from pkv_interp.measure.edit_ranking import PositionScores
from pkv_interp.measure.edit_sources import ERRATUM, FIELD, NEW, OLD, QUESTION, edit_sources
from pkv_interp.measure.heads import Head, top_heads
from pkv_interp.measure.opened import open_state
from pkv_interp.measure.pairs import margins

#: Sources knocked out together: all that stands for the old value, and all that the edit put in.
TOGETHER = {
    "old notes and field": (OLD, FIELD),
    "old notes and erratum": (OLD, ERRATUM),
    "field and new tokens": (FIELD, NEW),
}
#: New tokens, at most, that are given back one by one.
ONE_BY_ONE = 64
#: Sources that are also hidden from the question's tokens.
HIDDEN = (FIELD, OLD, NEW, ERRATUM)


@dataclass(frozen=True)
class SourceReading:
    """What the decision takes from one source. Margins are in logits, towards the new value's action.

    Attributes:
        tokens: of the source.
        attention: of the read heads, mean over them.
        written: what all heads write into the margin from it, directly.
        written_by_read_heads: the same of the read heads alone.
        without: margin when the decision token may not see it.
        given_back: margin when the decision token reads the columns of before the edit there; None where the
            edit changed the prompt's length, and for sources that it leaves as they were.
        unseen: margin when neither the decision token nor the question's tokens may see it; None for sources
            other than ``HIDDEN``, and in measurements of before.
    """

    tokens: int
    attention: float
    written: float
    written_by_read_heads: float
    without: float
    given_back: float | None
    unseen: float | None = None


@dataclass(frozen=True)
class NewToken:
    """One token that the edit ran again, given back.

    Attributes:
        position: in the context.
        kind: of token.
        given_back: margin when the decision token reads its column of before the edit.
    """

    position: int
    kind: str
    given_back: float


@dataclass(frozen=True)
class TracedDecision:
    """One decision on an edited cache.

    Attributes:
        margin: as it stands.
        api_difference: largest difference of the trace's logits from those of ``State.decide``, and of the
            margin that rows without interventions give from its margin.
        sources: by name (``edit_sources.SOURCES``), those that have tokens.
        together: margin without several sources, by ``TOGETHER``; those of which none is empty.
        tokens: each token that was run again; empty where there are none, or more than ``ONE_BY_ONE``.
        together_unseen: as ``together``, hidden from the question's tokens as well.
    """

    margin: float
    api_difference: float
    sources: dict[str, SourceReading]
    together: dict[str, float]
    tokens: list[NewToken]
    together_unseen: dict[str, float] = field(default_factory=dict)


def read_heads(found: Sequence[PositionScores], k: int) -> list[Head]:
    """The heads of largest first-order effect on the margin at the decision token, over ranking instances."""
    return top_heads(np.mean([one.heads for one in found], axis=0), k)


def trace_edit(
    engine: Engine,
    before: State,
    after: State,
    field: str,
    options: tuple[str, str],
    heads: Sequence[Head],
    kinds: Sequence[str],
) -> TracedDecision:
    """Open an edited state, and ask what its decision reads.

    Args:
        engine: of the states' model.
        before: the state that was edited.
        after: that state after the edit.
        field: name of the field.
        options: the new value's action, then the old one's.
        heads: whose attention is told apart (``read_heads``).
        kinds: kind of the token at each position of the context before the edit.
    """
    base = open_state(engine, after, {"attention"})
    actions = _action_ids(after, options)
    sources = edit_sources(before, after, field, base.length)
    some = {name: positions for name, positions in sources.items() if positions}
    together = {
        name: sources[one] + sources[other]
        for name, (one, other) in TOGETHER.items()
        if sources[one] and sources[other]
    }
    donor = open_state(engine, before) if len(before.ids) == len(after.ids) else None
    swapped = () if donor is None else tuple(name for name in (FIELD, NEW, QUESTION) if sources[name])
    single = sources[NEW] if donor is not None and len(sources[NEW]) <= ONE_BY_ONE else ()
    rows: list[Row] = [(), *((Knockout(positions),) for positions in (*some.values(), *together.values()))]
    rows += [(KVPatch(sources[name], 0),) for name in swapped]
    rows += [(KVPatch((position,), 0),) for position in single]
    decoded = engine.decode(base, rows, () if donor is None else (donor,), actions)
    found = iter(margins(decoded).tolist())
    packed, told = next(found), after.logits()
    without = {name: next(found) for name in some}
    alone = {name: next(found) for name in together}
    given_back = {name: next(found) for name in swapped}
    tokens = [NewToken(position, kinds[position], next(found)) for position in single]
    hidden = {name: some[name] for name in HIDDEN if name in some} | together
    unseen = _unseen(engine, base, hidden, actions)
    written = source_writes(engine.loaded, base, list(some.values()), actions).double().cpu().numpy()
    layers, queries = np.array(heads, dtype=int).T
    attn = base.need("attn").double().cpu().numpy()[layers, queries].mean(0)
    return TracedDecision(
        margin=packed,
        api_difference=max(
            float((base.logits - told).abs().max()), abs(packed - float(token_margin(told, actions)))
        ),
        sources={
            name: SourceReading(
                tokens=len(positions),
                attention=float(attn[list(positions)].sum()),
                written=float(written[index].sum()),
                written_by_read_heads=float(written[index][layers, queries].sum()),
                without=without[name],
                given_back=given_back.get(name),
                unseen=unseen.get(name),
            )
            for index, (name, positions) in enumerate(some.items())
        },
        together=alone,
        tokens=tokens,
        together_unseen={name: unseen[name] for name in together},
    )


def _unseen(
    engine: Engine, base: Prefill, hidden: Mapping[str, tuple[int, ...]], actions: tuple[int, int]
) -> dict[str, float]:
    """Margins when no token that is run after the edit sees a source, by its name."""
    later = tuple(range(base.given, base.length))
    rows: list[Row] = [(Knockout(positions, queries=later),) for positions in hidden.values()]
    if not rows:
        return {}
    return dict(zip(hidden, margins(engine.rerun(base, rows, (), actions)).tolist(), strict=True))


def _action_ids(state: State, options: tuple[str, str]) -> tuple[int, int]:
    first, second = option_ids(state.context.renderer, state.suffix(), options)
    return first, second
