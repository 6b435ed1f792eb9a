"""Paths by way of the notes: what they close, what they leave, and that together they cut the field off."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, Row
from pkv_interp.measure.note_groups import Tokens, tokens_of
from pkv_interp.measure.note_paths import closed_margins, note_paths, spans_before
from pkv_interp.measure.pairs import PairRun, run_pair
from pkv_interp.tasks import BY_NAME, Style, field_case


@pytest.fixture(scope="module", params=[False, True], ids=["field first", "field late"])
def pair(engine: Engine, request: pytest.FixtureRequest) -> PairRun:
    style = Style(n_fillers=2, field_late=request.param)
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=style)
    return run_pair(engine, case, {"prefill"})


def test_what_is_closed_and_what_is_left(pair: PairRun) -> None:
    known = note_paths(tokens_of(pair))
    prompt, asked = pair.case.clean, pair.case.clean.spans["question"][0]
    assert list(known) == ["notes_field", "notes_rule", "question_notes", "decision_field"]
    assert sorted(known["notes_field"].queries or ()) == list(pair.notes)
    assert known["decision_field"].queries == (prompt.decision,)
    assert known["notes_field"].positions == known["decision_field"].positions == pair.changed
    assert known["question_notes"].positions == tuple(at for at in pair.notes if at < asked)
    assert known["question_notes"].queries == tuple(at for at in pair.notes if at >= asked)
    rule = known["notes_rule"].positions
    assert set(range(*prompt.spans["trigger"])) <= set(rule)
    assert prompt.decision not in (known["notes_rule"].queries or ())
    assert min(known["notes_rule"].queries or ()) > max(rule)


def test_together_they_cut_the_field_off_and_alone_they_do_not(engine: Engine, pair: PairRun) -> None:
    known = note_paths(tokens_of(pair))
    notes, decision = known["notes_field"], known["decision_field"]
    assert notes.queries is not None
    leak = Knockout(notes.positions, queries=notes.queries[1:])
    rows: dict[str, Row] = {"nothing": (), "both": (notes, decision), "leak": (leak, decision)}
    found = closed_margins(engine, pair, rows)
    gap = {name: abs(found["clean"][name] - found["corrupt"][name]) for name in rows}
    assert gap["both"] < 1e-5 < gap["leak"]
    assert found["clean"]["nothing"] == pytest.approx(pair.clean_margin, abs=1e-4)
    assert found["corrupt"]["nothing"] == pytest.approx(pair.corrupt_margin, abs=1e-4)


def test_a_prompt_without_rule_and_question_has_two_paths() -> None:
    own = Tokens(field=(3, 4), rule=(), between=(), later=(5, 6), question=(), decision=7)
    assert list(note_paths(own)) == ["notes_field", "decision_field"]


def test_other_spans_are_as_long_as_the_field_and_before_it() -> None:
    found = Tokens(field=(9, 10, 11), rule=(), between=(), later=(12,), question=(), decision=13)
    spans = spans_before(found, 40, np.random.default_rng(0))
    assert {len(span) for span in spans} == {3}
    assert {at for span in spans for at in span} == set(range(1, 9))
    early = Tokens(field=(2, 3), rule=(), between=(), later=(4,), question=(), decision=5)
    assert spans_before(early, 40, np.random.default_rng(0)) == []
