"""The explorer's numbers are those of the library, and its controls have their known answers."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.explore.edits import FULL
from experiments.explore.explorer import cut_of
from experiments.explore.heads import Site, head_effects
from experiments.explore.notes import grid_margins, joint_margins, recovery
from experiments.explore.state import Compose, Edit, Heads, Notes, State, Step
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.heads import all_heads, head_sweep
from pkv_interp.measure.pairs import PairRun, decode_margins, position_sweep, run_pair
from tests.experiments.explore_examples import OWN, PATIENCE, SCENARIO, explorer, value


def run_of(source: object = SCENARIO) -> PairRun:
    pair = explorer().maker.make(source)  # pyright: ignore[reportArgumentType]
    return run_pair(explorer().engine, pair.case, {"attention", "prefill"})


def silent(_done: int, _total: int) -> None:
    pass


def test_words_alone_are_the_position_sweep() -> None:
    run = run_of()
    found = value(explorer().words(State(source=SCENARIO), PATIENCE))
    assert np.allclose(found, recovery(position_sweep(explorer().engine, run), run), atol=1e-4)


def test_joint_words_and_their_controls() -> None:
    run = run_of(OWN)
    words = run.notes[2:4]
    state = State(source=OWN, notes=Notes(words=words, part="V", layers=(1, 2)))
    made = value(explorer().joint(state, PATIENCE))
    expected = decode_margins(explorer().engine, run, [(KVPatch(words, 0, (1, 2), "V"),)])[0]
    assert made.words == pytest.approx(float(expected), abs=1e-4)
    assert made.itself == pytest.approx(run.corrupt_margin, abs=1e-4)
    whole = joint_margins(explorer().engine, run, (), "KV", None)
    assert whole.words is None
    assert whole.everything == pytest.approx(run.clean_margin, abs=1e-4)
    assert abs(whole.notes - run.corrupt_margin) > 1e-3


def test_the_grid_has_every_word_in_every_layer() -> None:
    run, engine = run_of(OWN), explorer().engine
    found = grid_margins(engine, run, "KV", silent)
    assert found.shape == (engine.spec.n_layers, len(run.notes))
    rows = [(KVPatch((run.notes[5],), 0, (layer,)),) for layer in range(engine.spec.n_layers)]
    assert np.allclose(found[:, 5], decode_margins(engine, run, rows), atol=1e-4)


def test_heads_put_in_are_the_head_sweep() -> None:
    run = run_of()
    found = value(explorer().heads(State(source=SCENARIO), PATIENCE))
    assert np.allclose(found, recovery(head_sweep(explorer().engine, run), run), atol=1e-4)


def test_knocked_out_heads_lose_the_gap_that_they_carry() -> None:
    run, engine = run_of(), explorer().engine
    every = all_heads(engine.spec)
    site = Site(None, "knockout")
    nothing, all_of_them = head_effects(engine, run, [(), every], site, silent)
    assert nothing == pytest.approx(0.0, abs=1e-3)
    # The decision token is the same in both prompts: without its heads nothing tells them apart.
    assert all_of_them == pytest.approx(1.0, abs=1e-3)


def test_write_heads_are_patched_at_the_chosen_words_only() -> None:
    run, engine = run_of(OWN), explorer().engine
    every = all_heads(engine.spec)
    before = head_effects(engine, run, [every], Site((run.changed[0] - 1,), "patch"), silent)
    after = head_effects(engine, run, [every], Site(run.notes, "patch"), silent)
    assert before[0] == pytest.approx(0.0, abs=1e-3)  # the prompts agree there
    assert abs(after[0]) > 1e-2
    refused = explorer().heads(State(source=OWN, heads=Heads(site="write")), PATIENCE)
    assert "no word is chosen" in getattr(refused, "line", "")


def test_edits_beside_a_full_re_prefill() -> None:
    edit = Edit(methods=("stale", "field_only", "erratum", "suffix_recompute", FULL, "recompute@9999"))
    found = value(explorer().edits(State(source=OWN, edit=edit), PATIENCE))
    by = {one.method: one for one in found.tried}
    run = run_of(OWN)
    assert found.before[1] == pytest.approx(run.clean_margin, abs=0.05)
    assert (by[FULL].kl, by["stale"].tokens) == (0.0, 0)
    assert by["suffix_recompute"].kl < 1e-6 < by["stale"].kl
    assert by["suffix_recompute"].tokens < by[FULL].tokens
    assert by["recompute@9999"].refused
    pair = explorer().maker.make(OWN)
    state = pair.context(explorer().loaded).edit(pair.field, pair.values[1], "erratum")
    assert by["erratum"].margin == pytest.approx(state.decide(pair.case.actions).margin, abs=1e-4)


def test_a_chain_goes_on_from_the_step_before() -> None:
    steps = [("shipped", "field_only"), ("pending", "field_only"), ("gone for good", "recompute@2")]
    chain = tuple(Step(field="order status", value=v, method=m) for v, m in steps)
    links = value(explorer().chain(State(source=OWN, edit=Edit(chain=chain)), PATIENCE))
    first = explorer().maker.make(OWN).context(explorer().loaded).prefill()
    second = first.edit("order status", "shipped", "field_only").edit("order status", "pending", "field_only")
    assert links[1].after.margin == pytest.approx(second.decide(OWN.actions).margin, abs=1e-4)
    assert links[1].full[1] == pytest.approx(first.decide(OWN.actions).margin, abs=1e-4)
    assert "number of tokens" in links[2].after.refused


def test_a_chunk_that_is_repaired_whole_is_as_if_it_was_never_cut() -> None:
    pair = explorer().maker.make(SCENARIO)
    start, stop = pair.case.change[1], pair.case.change[1] + 12
    for to in (start, start - 4):
        moved = {}
        for repair in (0, stop - start):
            state = State(source=SCENARIO, compose=Compose(span=(start, stop), to=to, repair=repair))
            found = value(explorer().moved(state, wait=PATIENCE))
            moved[repair] = found["clean"][cut_of(state.compose, pair).repair]
        assert moved[stop - start].kl < 1e-6 < moved[0].kl
        assert moved[stop - start].spliced == pytest.approx(moved[0].full, abs=1e-3)


def test_a_chunk_outside_of_the_prompt_is_refused() -> None:
    for compose in (Compose(span=(4, 4000)), Compose(span=(4, 9), to=4000)):
        refused = explorer().moved(State(source=SCENARIO, compose=compose), wait=PATIENCE)
        assert getattr(refused, "line", "").startswith("the chunk")
