"""Chains of thought from each cache state, and the decision at their end under knockouts."""

from collections.abc import Sequence
from dataclasses import dataclass

from pkv_interp.cache import FrozenCache
from pkv_interp.engine import Engine
from pkv_interp.engine.generate import continue_greedily, extend
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.pairs import PairRun, margins


@dataclass(frozen=True)
class Chain:
    """One chain and the decision after it; margins in logits, first action minus second.

    Attributes:
        state: cache state that the chain was generated from.
        margin: after the scaffold that closes the chain.
        is_action: the most likely token there is one of the two actions.
        n_tokens: length of the chain.
        truncated: cut at the limit rather than ended by the model.
        no_downstream: margin when the decision may not attend to the prompt after the changed span.
        no_chain: margin when it may not attend to the chain; None for an empty one.
        text: the chain.
    """

    state: str
    margin: float
    is_action: bool
    n_tokens: int
    truncated: bool
    no_downstream: float
    no_chain: float | None
    text: str


def chain_states(pair: PairRun) -> dict[str, FrozenCache]:
    """The corrupt prompt's cache with the clean prompt's KV nowhere, at the field, at the notes, everywhere.

    Full-downstream is the same as the last, because the prompts share what comes before the changed span.
    """
    stale, clean = pair.corrupt.cache, pair.clean.cache
    return {
        "stale": stale,
        f"{pair.case.changed}_only": stale.replace(pair.changed, clean),
        "notes_only": stale.replace(pair.notes, clean),
        "oracle": clean,
    }


def run_chains(engine: Engine, pair: PairRun, scaffold: Sequence[int], most: int) -> list[Chain]:
    """A greedy chain from every cache state, then the decision after ``scaffold``.

    The ids before the chain are the corrupt prompt's own, except for the oracle; the model reads the prompt
    from the cache alone, so they matter only for the record. Knockouts act on the decision token alone.

    Args:
        engine: of the model that writes them.
        pair: prompts that ask for a reason first and end where the chain starts.
        scaffold: tokens that close the chain and open the answer.
        most: longest chain, in tokens.
    """
    states = chain_states(pair)
    prompt = pair.corrupt.ids
    ends = continue_greedily(engine.loaded, prompt[-1], list(states.values()), most)
    downstream = Knockout(pair.notes + (len(prompt) - 1,))
    found = []
    for state, end in zip(states, ends, strict=True):
        ids = (*(pair.clean.ids if state == "oracle" else prompt), *end.ids, *scaffold)
        base = extend(engine.loaded, ids, end.cache)
        rows: list[Row] = [(), (downstream,)]
        if end.ids:
            rows.append((Knockout(tuple(range(len(prompt), len(prompt) + len(end.ids)))),))
        decoded = engine.decode(base, rows, (), pair.case.action_ids)
        values = margins(decoded).tolist()
        found.append(
            Chain(
                state,
                values[0],
                int(base.logits.argmax()) in pair.case.action_ids,
                len(end.ids),
                not end.stopped,
                values[1],
                values[2] if end.ids else None,
                str(engine.loaded.tokenizer.decode(list(end.ids))),
            )
        )
    return found
