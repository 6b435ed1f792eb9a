"""Groups share out the notes; paths close what they say and, together, all that comes from the field."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.note_groups import note_groups, notes_of, paths, tokens_of
from pkv_interp.measure.pairs import PairRun, margins, run_pair
from pkv_interp.tasks import BY_NAME, Style, field_case

TO_FIELD = ("rule_field", "between_field", "later_field", "decision_field")


@pytest.fixture(scope="module", params=[False, True], ids=["field first", "field late"])
def pair(engine: Engine, request: pytest.FixtureRequest) -> PairRun:
    style = Style(n_fillers=2, field_late=request.param)
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=style)
    return run_pair(engine, case, {"prefill"})


def test_groups_share_out_the_notes(pair: PairRun) -> None:
    case = pair.case
    groups = note_groups(case)
    parts = [positions for name, positions in groups.items() if name != "notes"]
    assert groups["notes"] == notes_of(case) == pair.notes
    assert sorted(at for positions in parts for at in positions) == list(pair.notes)
    late = "actions" not in groups
    assert late == (case.clean.spans["rule"][1] <= case.after_change)
    for name in ("menu",) if late else ("actions", "menu"):
        assert {case.clean.tokens[at].strip() for at in groups[name]} == set(case.actions)
    assert not any(any(c.isalnum() for c in case.clean.tokens[at]) for at in groups["delimiters"])


def test_every_token_after_the_field_is_in_one_part(pair: PairRun) -> None:
    found = tokens_of(pair)
    parts = (found.reading, found.between, found.later, found.question, (found.decision,))
    assert sorted(at for part in parts for at in part) == [*pair.notes, found.decision]
    known = paths(found)
    assert ("rule_field" in known) == bool(found.reading)
    assert known["question_rule"].queries == found.question
    assert known["question_rule"].positions == found.rule


def test_with_every_path_to_the_field_closed_the_prompts_are_alike(engine: Engine, pair: PairRun) -> None:
    known = paths(tokens_of(pair))
    closed = tuple(known[name] for name in TO_FIELD if name in known)
    # One token that still sees the field is enough for them to differ.
    later = known["later_field"]
    assert later.queries is not None
    leak = tuple(k for k in closed if k is not later) + (
        Knockout(later.positions, queries=later.queries[1:]),
    )
    rows: list[Row] = [closed, leak]
    apart = [
        engine.rerun(base, rows, token_ids=range(engine.spec.vocab_size)).logits
        for base in (pair.clean, pair.corrupt)
    ]
    difference = (apart[0] - apart[1]).abs().amax(1).tolist()
    assert difference[0] < 1e-5 < difference[1]


def test_a_single_path_moves_the_margin(engine: Engine, pair: PairRun) -> None:
    known = paths(tokens_of(pair))
    rows: list[Row] = [(), *((one,) for one in known.values())]
    found = margins(engine.rerun(pair.clean, rows, (), pair.case.action_ids))
    moved = dict(zip(known, np.abs(found[1:] - found[0]) > 1e-5, strict=True))
    # A token sees itself and the window before it: the decision may be out of the field's reach already.
    reach = pair.case.clean.decision - pair.changed[-1]
    seen = any(window is None or reach < window for window in engine.spec.windows)
    assert moved == {name: seen or name != "decision_field" for name in known}
