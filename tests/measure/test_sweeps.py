"""Sweeps on every tiny family: identities that hold whatever the weights, and the slow twin."""

import numpy as np
import pytest
import torch

from pkv_interp.engine import Engine
from pkv_interp.interventions import HeadPatch, KVPatch, MLPPatch
from pkv_interp.measure.circuits import keep_only, sizes_of
from pkv_interp.measure.controls import measure_controls
from pkv_interp.measure.decomposition import direct_logits, write_shares
from pkv_interp.measure.heads import all_heads, attention_to, head_sweep, joint_heads, mlp_sweep
from pkv_interp.measure.pairs import PairRun, cache_states, decode_margins, margins, position_sweep, run_pair
from pkv_interp.measure.screening import screen
from pkv_interp.measure.writers import joint_mlps, joint_writers, write_sweep
from pkv_interp.reference.sequential import Sequential


def slow(engine: Engine, pair: PairRun, rows: list, call: str = "decode") -> np.ndarray:
    twin = Sequential(engine.loaded)
    return margins(getattr(twin, call)(pair.corrupt, rows, (pair.clean, pair.corrupt), pair.case.action_ids))


def test_controls_have_their_known_answers(engine: Engine, pair: PairRun) -> None:
    values = measure_controls(engine, [pair])
    assert values.self_patch == pytest.approx(0.0, abs=1e-3)
    assert values.full_patch == pytest.approx(1.0, abs=1e-3)
    assert values.batched_equals_single < 1e-4
    assert values.packed_equals_sequential < 1e-4
    assert 0 < values.noise < 1e-4


def test_the_pair_differs_only_from_the_change_on(pair: PairRun) -> None:
    start = pair.changed[0]
    for a, b in zip(pair.clean.cache.keys, pair.corrupt.cache.keys, strict=True):
        torch.testing.assert_close(a[:, :, :start], b[:, :, :start], atol=1e-5, rtol=1e-5)
    assert abs(pair.gap) > 1e-4
    assert pair.notes[0] == pair.changed[-1] + 1
    assert pair.notes[-1] == pair.case.clean.decision - 1


def test_a_shared_start_changes_no_margin(engine: Engine, pair: PairRun) -> None:
    shared = run_pair(engine, pair.case)
    start = pair.changed[0]
    for a, b in zip(shared.clean.cache.keys, shared.corrupt.cache.keys, strict=True):
        assert torch.equal(a[:, :, :start], b[:, :, :start])
    assert shared.corrupt_margin == pytest.approx(pair.corrupt_margin, abs=1e-4)
    assert position_sweep(engine, shared) == pytest.approx(position_sweep(engine, pair), abs=1e-4)


def test_states_and_positions_agree_with_the_slow_twin(engine: Engine, pair: PairRun) -> None:
    states = cache_states(engine, pair)
    expected = slow(engine, pair, [(KVPatch(pair.changed, 0),), (KVPatch(pair.notes, 0),)])
    assert [states["trigger_only"], states["notes_only"]] == pytest.approx(list(expected), abs=1e-4)
    swept = position_sweep(engine, pair)
    few = [0, len(pair.notes) // 2, len(pair.notes) - 1]
    expected = slow(engine, pair, [(KVPatch((pair.notes[i],), 0),) for i in few])
    assert swept[few] == pytest.approx(expected, abs=1e-4)
    assert np.abs(swept - pair.corrupt_margin).max() > 1e-4


def test_head_and_mlp_sweeps_agree_with_the_slow_twin(engine: Engine, pair: PairRun) -> None:
    heads, mlps = head_sweep(engine, pair), mlp_sweep(engine, pair)
    expected = slow(engine, pair, [(HeadPatch(1, 2, 0),), (HeadPatch(2, 0, 0),), (MLPPatch(1, 0),)])
    assert [heads[1, 2], heads[2, 0], mlps[1]] == pytest.approx(list(expected), abs=1e-4)


def test_patching_every_head_and_mlp_at_the_decision_is_the_clean_run(engine: Engine, pair: PairRun) -> None:
    row = tuple(HeadPatch(la, h, 0) for la, h in all_heads(engine.spec)) + tuple(
        MLPPatch(la, 0) for la in range(engine.spec.n_layers)
    )
    assert decode_margins(engine, pair, [row])[0] == pytest.approx(pair.clean_margin, abs=1e-3)
    assert joint_heads(engine, pair, [[], [(0, 0)]])[0] == pytest.approx(pair.corrupt_margin, abs=1e-4)


def test_write_sweeps_agree_with_the_slow_twin(engine: Engine, pair: PairRun) -> None:
    positions = (pair.notes[3], pair.notes[10])
    swept = write_sweep(engine, pair, positions)
    rows = [
        tuple(HeadPatch(1, 1, 0, position=p) for p in positions),
        tuple(MLPPatch(0, 0, position=p) for p in positions),
    ]
    expected = slow(engine, pair, rows, "rerun")
    assert [swept[1, 1], swept[0, -1]] == pytest.approx(list(expected), abs=1e-4)
    joint = joint_writers(engine, pair, [[(1, 1)], []], positions)
    assert joint[0] == pytest.approx(swept[1, 1], abs=1e-4)
    assert joint[1] == pytest.approx(pair.corrupt_margin, abs=1e-4)
    assert joint_mlps(engine, pair, [0], positions) == pytest.approx(swept[0, -1], abs=1e-4)


def test_keeping_all_heads_is_the_clean_run_and_none_is_all_replaced(engine: Engine, pair: PairRun) -> None:
    order = all_heads(engine.spec)
    kept = keep_only(engine, pair, order, [0, len(order)])
    assert kept[1] == pytest.approx(pair.clean_margin, abs=1e-4)
    assert abs(kept[0] - kept[1]) > 1e-5
    mean = (pair.clean.z + pair.corrupt.z) / 2
    assert keep_only(engine, pair, order, [len(order)], mean)[0] == pytest.approx(pair.clean_margin, abs=1e-4)


def test_sizes_round_up() -> None:
    assert sizes_of([0.0, 0.001, 0.5, 1.0], 270) == [0, 1, 135, 270]


def test_the_direct_parts_sum_to_the_margin_difference(engine: Engine, pair: PairRun) -> None:
    found = direct_logits(engine, pair)
    assert found.error < 1e-3
    if engine.spec.softcap is None:
        assert found.margin_gap == pytest.approx(pair.gap, abs=1e-3)


def test_write_shares_sum_to_one_at_every_depth(engine: Engine, pair: PairRun) -> None:
    found = write_shares(engine, pair, pair.notes[2:9])
    assert found.error < 1e-3
    assert np.abs(found.embedding).max() < 1e-3  # the notes' own tokens are the same in both prompts
    assert np.abs(found.attention).max() > 0.01
    at_trigger = write_shares(engine, pair, pair.changed)
    assert np.abs(at_trigger.embedding).max() > 1e-3


def test_attention_to_everything_is_one_or_less(engine: Engine, pair: PairRun) -> None:
    mass = attention_to(pair, range(pair.clean.length))
    assert mass.max() <= 1 + 1e-5
    if not engine.spec.sinks:
        assert mass.min() == pytest.approx(1.0, abs=1e-5)


def test_the_screen_is_the_slope_of_the_exact_effect(engine: Engine, pair: PairRun) -> None:
    found = screen(engine, pair)
    assert found.kv.shape == (len(pair.notes),)
    assert found.heads.shape == (engine.spec.n_layers, engine.spec.n_heads)
    # Last layer, where the path to the logits is shortest: first order and exact must be of one mind.
    exact = head_sweep(engine, pair)[-1] - pair.corrupt_margin
    assert np.corrcoef(exact, found.heads[-1])[0, 1] > 0.5


def test_the_middle_of_a_block_is_where_the_mlp_starts(engine: Engine, pair: PairRun) -> None:
    resid, mid, written = (pair.clean.need(n) for n in ("resid_all", "resid_mid_all", "mlp_all"))
    for index, layer in enumerate(engine.loaded.model.model.layers):
        with torch.no_grad():
            normed = getattr(layer, "post_feedforward_layernorm", torch.nn.Identity())(written[index])
        torch.testing.assert_close(resid[index + 1] - mid[index], normed, atol=1e-4, rtol=1e-4)
