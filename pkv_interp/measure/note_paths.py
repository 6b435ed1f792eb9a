"""Paths on which a decision depends on the field, closed at their queries: what is left of both margins.

A knockout at queries of the prefill runs the tokens from there on again, so that what they write changes with
what they see; hiding the notes from the decision alone would leave them as they were.
"""

from collections.abc import Mapping

import numpy as np

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.note_groups import Tokens
from pkv_interp.measure.pairs import PairRun, margins


def note_paths(found: Tokens) -> dict[str, Knockout]:
    """What closes each path by way of the notes; paths that a prompt does not have are left out.

    ``notes_field``: no token between field and decision may see the field. ``notes_rule``: no token after
    both field and rule may see the rule, but the decision may. ``question_notes``: the question may see no
    note before it. ``decision_field``: the decision may not see the field.
    """
    body = tuple(sorted(found.reading + found.between + found.later))
    closing = {
        "notes_field": (body + found.question, found.field),
        "notes_rule": (found.later + found.question, found.rule),
        "question_notes": (found.question, body),
        "decision_field": ((found.decision,), found.field),
    }
    return {
        name: Knockout(seen, queries=queries) for name, (queries, seen) in closing.items() if queries and seen
    }


def spans_before(found: Tokens, draws: int, rng: np.random.Generator) -> list[tuple[int, ...]]:
    """Random spans of the field's length before the field; none where none fits after the first token.

    The first token is left out: attention rests on it whatever the prompt says.
    """
    size, end = len(found.field), found.field[0]
    starts = range(1, end - size + 1)
    return [tuple(range(at, at + size)) for at in rng.choice(starts, draws).tolist()] if starts else []


def closed_margins(engine: Engine, pair: PairRun, rows: Mapping[str, Row]) -> dict[str, dict[str, float]]:
    """Margins in logits of both prompts, ``clean`` and ``corrupt``, by the name of what is closed.

    Args:
        engine: of the model that the prompts were run on.
        pair: with the activations of its prefill.
        rows: knockouts by name, at any queries.
    """
    found = {}
    for side, base in (("clean", pair.clean), ("corrupt", pair.corrupt)):
        decoded = engine.rerun(base, list(rows.values()), (), pair.case.action_ids)
        found[side] = dict(zip(rows, margins(decoded).tolist(), strict=True))
    return found
