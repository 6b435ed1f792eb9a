"""Positions, layers, cells, knockouts and chains on every tiny family, against the slow twin."""

import numpy as np
import pytest

from pkv_interp.engine import Engine
from pkv_interp.interventions import Knockout, KVPatch, Row
from pkv_interp.measure.chains import chain_states, run_chains
from pkv_interp.measure.knockout import (
    attention_by_position,
    attention_masses,
    knockout_margins,
    region_spans,
    share_knockouts,
    span_knockouts,
)
from pkv_interp.measure.pairs import PairRun, cache_states, margins, run_pair
from pkv_interp.measure.patching import (
    first_reaching,
    joint_positions,
    order_by,
    patch_thirds,
    prefix,
    suffix,
    sweep_grid,
    sweep_layers,
    sweep_positions,
    thirds,
    twin_margins,
)
from pkv_interp.measure.ranking import pool_by_name
from pkv_interp.reference.sequential import Sequential
from pkv_interp.tasks import BY_NAME, Style, field_case
from pkv_interp.tasks.twins import same_conclusion_twin

BUILD = {"seed": 0, "style": Style(n_fillers=0), "wordings": ("whenever",)}


@pytest.fixture(scope="session")
def field_pair(engine: Engine) -> PairRun:
    case = field_case(BY_NAME["orders"], 0, engine.loaded.tokenizer, **BUILD)  # type: ignore[arg-type]
    return run_pair(engine, case, {"attention"})


def slow(engine: Engine, pair: PairRun, rows: list[Row], clean: bool = False) -> np.ndarray:
    base = pair.clean if clean else pair.corrupt
    donors = (pair.clean, pair.corrupt)
    return margins(Sequential(engine.loaded).decode(base, rows, donors, pair.case.action_ids))


def test_cells_of_the_grid_agree_with_the_slow_twin(engine: Engine, field_pair: PairRun) -> None:
    notes = field_pair.notes
    found = sweep_grid(engine, field_pair)
    assert found.shape == (engine.spec.n_layers, len(notes))
    cells = [
        (layer, i) for layer in range(engine.spec.n_layers) for i in (0, len(notes) // 2, len(notes) - 1)
    ]
    expected = slow(engine, field_pair, [(KVPatch((notes[i],), 0, (layer,)),) for layer, i in cells])
    assert [found[cell] for cell in cells] == pytest.approx(list(expected), abs=1e-4)
    # The first layer's keys and values hold their own token alone, and the notes' tokens are the same.
    assert np.abs(found[0] - field_pair.corrupt_margin).max() < 1e-4
    assert np.abs(found - field_pair.corrupt_margin).max() > 1e-5


@pytest.mark.parametrize("part", ["K", "V", "KV"])
def test_positions_and_layers_by_part_agree_with_the_slow_twin(
    engine: Engine, field_pair: PairRun, part: str
) -> None:
    swept, layers = (
        sweep(engine, field_pair, part)  # type: ignore[arg-type]
        for sweep in (sweep_positions, sweep_layers)
    )
    at, last = field_pair.notes[4], engine.spec.n_layers - 1
    rows: list[Row] = [
        (KVPatch((at,), 0, part=part),),  # type: ignore[arg-type]
        (KVPatch(field_pair.notes, 0, (last,), part),),  # type: ignore[arg-type]
    ]
    assert [swept[4], layers[last]] == pytest.approx(list(slow(engine, field_pair, rows)), abs=1e-4)


def test_sets_meet_their_ends(engine: Engine, field_pair: PairRun) -> None:
    notes = field_pair.notes
    states = cache_states(engine, field_pair)
    ends = joint_positions(engine, field_pair, [(), notes, suffix(notes, 1.0), prefix(notes, 1.0)])
    expected = [field_pair.corrupt_margin, *[states["notes_only"]] * 3]
    assert list(ends) == pytest.approx(expected, abs=1e-4)
    assert states["full_patch"] == pytest.approx(field_pair.clean_margin, abs=1e-4)
    parts = patch_thirds(engine, field_pair)
    assert set(parts) == set(thirds(engine.spec.n_layers))
    early = thirds(engine.spec.n_layers)["early"]
    (expected_early,) = slow(engine, field_pair, [(KVPatch(notes, 0, early),)])
    assert parts["early"] == pytest.approx(expected_early, abs=1e-4)


def test_a_twin_of_itself_moves_nothing(engine: Engine, field_pair: PairRun) -> None:
    same = twin_margins(engine, field_pair, field_pair.corrupt)
    assert list(same.values()) == pytest.approx([field_pair.corrupt_margin] * 3, abs=1e-4)
    twin = same_conclusion_twin(field_pair.case, 0, engine.loaded.tokenizer, **BUILD)  # type: ignore[arg-type]
    other = engine.prefill(twin.corrupt.ids)
    moved = twin_margins(engine, field_pair, other)
    (expected,) = margins(
        Sequential(engine.loaded).decode(
            field_pair.corrupt, [(KVPatch(field_pair.notes, 0),)], (other,), field_pair.case.action_ids
        )
    )
    assert moved["notes"] == pytest.approx(expected, abs=1e-4)
    assert abs(moved["notes"] - field_pair.corrupt_margin) > 1e-6


def test_knockouts_agree_with_the_slow_twin(engine: Engine, field_pair: PairRun) -> None:
    knockouts = span_knockouts(engine, field_pair)
    found = knockout_margins(engine, field_pair, knockouts)
    for side in ("clean", "corrupt"):
        expected = slow(engine, field_pair, [(k,) for k in knockouts.values()], clean=side == "clean")
        assert list(found[side].values()) == pytest.approx(list(expected), abs=1e-4)
    # With everything hidden in which the prompts differ, only a default action is left: the same in both.
    both = "field and notes"
    assert found["clean"][both] == pytest.approx(found["corrupt"][both], abs=1e-4)
    assert found["clean"]["notes"] != pytest.approx(field_pair.clean_margin, abs=1e-7)


def test_regions_cover_the_notes_once(field_pair: PairRun) -> None:
    spans = region_spans(field_pair)
    parts = [p for name, positions in spans.items() if name.startswith("notes: ") for p in positions]
    assert sorted(parts) == list(field_pair.notes)
    assert spans["sink"] == (0, 1, 2, 3)
    assert spans["field"] == field_pair.changed


def test_attention_masses_sum_to_all_that_is_seen(engine: Engine, field_pair: PairRun) -> None:
    masses = attention_masses(field_pair)
    by_kind = np.sum([m for name, m in masses.items() if name.startswith("notes: ")], axis=0)
    assert by_kind == pytest.approx(np.array(masses["notes"]), abs=1e-6)
    total = np.sum([masses[name] for name in ("sink", "field", "notes", "itself")], axis=0)
    assert total.max() <= 1 + 1e-5
    assert len(masses["field"]) == engine.spec.n_layers
    assert attention_by_position(field_pair).sum() <= 1 + 1e-5


def test_chains_start_from_their_caches(engine: Engine) -> None:
    case = field_case(
        BY_NAME["posts"], 1, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=0, reason_first=True)
    )
    pair = run_pair(engine, case, ())
    scaffold = engine.loaded.tokenizer("\nAction:", add_special_tokens=False)["input_ids"]
    chains = {chain.state: chain for chain in run_chains(engine, pair, scaffold, 5)}
    assert list(chains) == list(chain_states(pair)) == ["stale", "field_only", "notes_only", "oracle"]
    for state, prompt in (("stale", case.corrupt), ("oracle", case.clean)):
        chain = chains[state]
        assert 0 <= chain.n_tokens <= 5
        assert chain.truncated == (chain.n_tokens == 5)
        # Stale and oracle are prompts of their own: a plain prefill of prompt, chain and scaffold must agree.
        new = greedy_by_prefill(engine, list(prompt.ids), chain.n_tokens)
        whole = engine.prefill([*prompt.ids, *new, *scaffold])
        assert chain.text == engine.loaded.tokenizer.decode(new)
        first, second = case.action_ids
        assert chain.margin == pytest.approx(float(whole.logits[first] - whole.logits[second]), abs=1e-3)
        hidden = Knockout(tuple(range(case.after_change, len(prompt))))
        (expected,) = margins(Sequential(engine.loaded).decode(whole, [(hidden,)], (), case.action_ids))
        assert chain.no_downstream == pytest.approx(expected, abs=1e-3)
        assert (chain.no_chain is None) == (chain.n_tokens == 0)


def greedy_by_prefill(engine: Engine, ids: list[int], n: int) -> list[int]:
    new: list[int] = []
    for _ in range(n):
        new.append(int(engine.prefill([*ids, *new]).logits.argmax()))
    return new


def test_the_smallest_set_that_reaches_a_level() -> None:
    assert first_reaching(np.array([0.2, 0.91, 0.85, 0.95]), 0.9) == 2
    assert first_reaching(np.array([0.9]), 0.9) == 1
    assert first_reaching(np.array([0.2, 0.89]), 0.9) is None


def test_shares_are_rounded_up_and_never_empty() -> None:
    positions = list(range(10, 20))
    assert suffix(positions, 0.11) == (18, 19)
    assert prefix(positions, 0.3) == (10, 11, 12)
    assert suffix(positions, 0.001) == (19,)
    assert prefix(positions, 1.0) == tuple(positions)


def test_positions_are_ordered_by_what_other_instances_say() -> None:
    effect = {"a": 0.1, "b": 0.7, "c": -0.2}
    assert order_by(effect, ["a", "x", "b", "c", "y"], [5, 6, 7, 8, 9]) == [7, 5, 8, 9, 6]


def test_names_are_pooled_as_ratios_of_sums() -> None:
    names, values = [["a", "b"], ["a", "c"]], [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    assert pool_by_name(names, values, [2.0, 6.0]) == {"a": 0.5, "b": 1.0, "c": pytest.approx(4 / 6)}
    assert pool_by_name(names, values, [1.0, -1.0]) == {"b": 2.0, "c": -4.0}  # no gap in sum: no ratio


def test_share_knockouts_take_the_first_of_each_order() -> None:
    found = share_knockouts({"effect": [9, 3, 5, 7], "random0": [3, 5, 7, 9]}, [0.25, 1.0])
    assert found["effect@0.25"] == Knockout((9,))
    assert found["random0@0.25"] == Knockout((3,))
    assert found["effect@1"] == found["random0@1"] == Knockout((3, 5, 7, 9))
