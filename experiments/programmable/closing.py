"""Paths from field and rule to the decision in plain prompts, closed one at a time; what it attends to."""

from dataclasses import dataclass

import numpy as np

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.knockout import attention_by_position
from pkv_interp.measure.note_groups import Tokens, paths, tokens_of
from pkv_interp.measure.note_paths import closed_margins, spans_before
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.streams import stream
from pkv_interp.tasks import Case

#: The field hidden from all that follows it: nothing can be left of the gap.
CUT_OFF = "cut_off"
#: As ``rule_field``, with another span of the field's length in its place; a mean over draws.
RANDOM = "rule_random"
#: Of the paths between groups of tokens, those that are closed.
_KNOWN = ("rule_field", "decision_field", "question_rule")


@dataclass(frozen=True)
class ClosedMargins:
    """A field pair; margins in logits.

    Attributes:
        clean, corrupt: of the two prompts.
        closed: of both prompts, clean then corrupt, by the path that is closed.
        cut_off: difference of the two with the field hidden from all that follows it.
        attention: of the clean prompt's decision token, a mean over layers and heads, by what it falls on.
    """

    clean: float
    corrupt: float
    closed: dict[str, tuple[float, float]]
    cut_off: float
    attention: dict[str, float]


def closed_of(engine: Engine, case: Case, seed: int, draws: int) -> ClosedMargins:
    """Every path of one pair.

    Args:
        engine: of the model.
        case: a field pair, the field before the rule.
        seed: of random spans.
        draws: random spans.
    """
    pair = run_pair(engine, case, {"prefill", "attention"})
    tokens = tokens_of(pair)
    rng = stream(seed, "programmable", "random spans", case.instance)
    spans = spans_before(tokens, draws, rng)
    rows = _rows(tokens) | {
        f"{RANDOM}/{at}": (Knockout(span, queries=tokens.reading),) for at, span in enumerate(spans)
    }
    both = closed_margins(engine, pair, rows)
    found = {name: (both["clean"][name], both["corrupt"][name]) for name in rows}
    clean, corrupt = found.pop(CUT_OFF)
    drawn = [found.pop(f"{RANDOM}/{at}") for at in range(len(spans))]
    if drawn:
        first, second = np.mean(drawn, axis=0)
        found[RANDOM] = (float(first), float(second))
    return ClosedMargins(
        pair.clean_margin, pair.corrupt_margin, found, abs(clean - corrupt), _attention(pair, tokens)
    )


def _rows(tokens: Tokens) -> dict[str, Row]:
    """What closes each path. The last block is the question and all that follows it, the decision as well."""
    known = paths(tokens)
    block = (*tokens.question, tokens.decision)
    rows: dict[str, Row] = {name: (known[name],) for name in _KNOWN if name in known}
    if tokens.question:
        rows["question_field"] = (Knockout(tokens.field, queries=tokens.question),)
    rows["block_field"] = (Knockout(tokens.field, queries=block),)
    rows["block_rule"] = (Knockout(tokens.rule, queries=block),)
    after = tuple(range(tokens.field[-1] + 1, tokens.decision + 1))
    rows[CUT_OFF] = (Knockout(tokens.field, queries=after),)
    return rows


def _attention(pair: PairRun, tokens: Tokens) -> dict[str, float]:
    weights = attention_by_position(pair)
    parts = {
        "field": tokens.field,
        "rule": tokens.rule,
        "question": tokens.question,
        "itself": (tokens.decision,),
    }
    found = {name: float(weights[list(at)].sum()) for name, at in parts.items()}
    return {**found, "rest": 1.0 - sum(found.values())}
