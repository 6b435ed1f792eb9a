"""Controls that can fail (S15): each is tried against what it is there to notice."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from experiments.agent.arms import run_arms
from experiments.bench.edits import exact_edits_agree
from experiments.bench.grids import time_grid
from experiments.bench.patches import head_rows, kv_rows, time_patches
from experiments.composing.checks import THERE_AND_BACK, measure_checks
from experiments.editing.errata import tell_every_way
from experiments.keystone.checks import check as keystone_check
from pkv_interp.cache.compute import Runner
from pkv_interp.engine import Engine
from pkv_interp.measure.controls import measure_controls
from pkv_interp.measure.decomposition import direct_logits, write_shares
from pkv_interp.measure.deviation import field_deviation, output_error
from pkv_interp.measure.directions import steer
from pkv_interp.measure.edit_ranking import aligned
from pkv_interp.measure.edit_scenes import EditScene, SceneSource, open_context
from pkv_interp.measure.opened import BesideTrace
from pkv_interp.measure.pairs import PairRun, cache_states, run_pair
from pkv_interp.measure.patching import position_rows
from pkv_interp.reference.verify import verify_with_bridge
from pkv_interp.tasks import BY_NAME, Case, Style, field_case
from pkv_interp.tolerances import tolerance_of
from pkv_interp.weight_editing.rome import RankOneEdit
from tests import runs
from tests.agent import support
from tests.experiments.configs import compose
from tests.families import tiny
from tests.hostile import sabotage, told
from tests.hostile.elsewhere import ELSEWHERE

ROOT = Path(__file__).parent.parent.parent
ALLOWED = tolerance_of("float32")
LOGITS = ALLOWED.for_logits_of(4.0).logits
FLOOR = 1e-3


@cache
def engine() -> Engine:
    return Engine(tiny("llama"))


@cache
def case() -> Case:
    return field_case(BY_NAME["orders"], 0, tiny("llama").tokenizer, seed=0, style=Style(n_fillers=0))


def pair() -> PairRun:
    return run_pair(engine(), case(), {"prefill", "attention"}, share=False)


@cache
def scene() -> tuple[SceneSource, EditScene]:
    settings: Any = compose("editing", *runs.EDITING)
    source = SceneSource.of(settings, tiny("llama").tokenizer)
    return source, source.scenes(source.style(1), 1)[0]


def engine_checks() -> Any:
    return measure_controls(engine(), [pair()])


def before_field() -> float:
    found = run_pair(engine(), case(), {"queries"}, share=False)
    return field_deviation(engine(), found.clean, found.corrupt, case().clean.spans["field"]).before


def both_states() -> float:
    found = pair()
    return abs(cache_states(engine(), found)["full_patch"] - found.clean_margin)


def zero_edit() -> float:
    base = pair().corrupt
    nothing = np.zeros((2, engine().spec.d_model))
    moved = steer(engine(), base, (20, 30), 1, [nothing], case().action_ids)
    return abs(float(moved[0]) - pair().corrupt_margin)


def weights_back() -> float:
    loaded, prompt = tiny("llama", seed=3), case().clean.ids
    weight: Any = loaded.model.model.layers[1].mlp.down_proj.weight
    held, runner = weight.detach().clone(), Runner.of(loaded.model)
    before = runner.prefill(prompt).logits
    left, right = torch.ones(weight.shape[0]), torch.ones(weight.shape[1])
    try:
        with RankOneEdit(1, left, right, right, left, 0, 1.0).applied(loaded.model):
            pass
        return float((runner.prefill(prompt).logits - before).abs().max())
    finally:
        weight.copy_(held)


def composing_checks() -> Any:
    loaded = tiny("llama")
    return measure_checks(Runner.of(loaded.model), loaded.tokenizer, [told.spliced_scene(case())])


def agent_checks() -> Any:
    loaded = tiny("llama")
    settings: Any = compose("agent", *runs.AGENT)
    episode, style = support.one(), Style(n_fillers=2, field_late=True)
    return run_arms(Runner.of(loaded.model), loaded.tokenizer, episode, style, settings).checks


def errata() -> Any:
    settings: Any = compose("editing", *runs.EDITING)
    return tell_every_way(tiny("llama"), scene()[1], settings)


def positions_agree() -> float:
    source, one = scene()
    return float(aligned(open_context(tiny("llama"), one).prefill(), one, source.matching_case(one)))


def exact_edits() -> float:
    one = scene()[1]
    return exact_edits_agree(open_context(tiny("llama"), one), one.task).difference


def traces() -> float:
    one, beside = scene()[1], BesideTrace(engine())
    edited = open_context(tiny("llama"), one).prefill().edit(one.task.field, one.task.new, "field_only")
    beside.decide(edited, one.actions)
    return beside.worst


def patches(kind: str) -> Callable[[], float]:
    def measured() -> float:
        rng, spec = np.random.default_rng(0), engine().spec
        rows = kv_rows(pair(), 4, spec.n_layers, rng) if kind == "kv" else head_rows(4, spec, rng)
        return time_patches(engine(), pair(), rows, 1).difference

    return measured


def grid() -> float:
    return time_grid(engine(), pair(), position_rows(pair())[:3], 2, 1).difference


@dataclass(frozen=True)
class Control:
    """One control: how it is measured, what it must notice, its known answer, and its field where several
    controls are measured at once."""

    measured: Callable[[], Any]
    broken: Callable[[pytest.MonkeyPatch], None]
    expected: float = 0.0
    tolerance: float = LOGITS
    field: str | None = None

    def missed(self, found: Any) -> float:
        """How far what was measured is from the known answer."""
        return abs(float(found if self.field is None else getattr(found, self.field)) - self.expected)


#: A measurement as things are; several controls share one.
as_things_are = cache(lambda measured: measured())

s = sabotage


TABLE: dict[str, Control] = {
    "self_patch": Control(engine_checks, s.wrong_donor, 0.0, ALLOWED.recovery, field="self_patch"),
    "full_patch": Control(engine_checks, s.wrong_donor, 1.0, ALLOWED.recovery, field="full_patch"),
    "decode_equals_prefill": Control(engine_checks, s.wrong_base, field="decode_equals_prefill"),
    "batched_equals_single": Control(engine_checks, s.swapped_rows, field="batched_equals_single"),
    "packed_equals_sequential": Control(engine_checks, s.wrong_donor, field="packed_equals_sequential"),
    "engine_equals_bridge": Control(
        lambda: verify_with_bridge(engine(), case()).worst or 0.0, s.other_weights
    ),
    "packed_equals_one_by_one_kv": Control(patches("kv"), s.swapped_rows),
    "packed_equals_one_by_one_heads": Control(patches("heads"), s.swapped_rows),
    "packed_equals_one_by_one_position_grid": Control(grid, s.swapped_rows),
    "packed_equals_one_by_one_layer_grid": Control(grid, s.wrong_donor),
    **{
        f"peers_agree_{name}": Control(lambda asked=asked: told.peers(engine(), case(), *asked), how)
        for name, (how, *asked) in told.PEERS.items()
    },
    "write_sweep_equals_twins": Control(lambda: told.write_twins(engine(), pair()), s.swapped_suffixes),
    "direct_logits_sum": Control(
        lambda: direct_logits(engine(), pair()).error, s.wrong_norm, 0.0, ALLOWED.parts
    ),
    "write_parts_sum": Control(
        lambda: write_shares(engine(), pair(), pair().notes[2:9]).error,
        s.stream_read_later,
        0.0,
        ALLOWED.parts,
    ),
    "attention_outputs": Control(
        lambda: output_error(engine(), engine().prefill(case().clean.ids, {"queries", "prefill"})),
        s.layers_mixed_up,
        0.0,
        ALLOWED.outputs,
    ),
    "before_field": Control(before_field, s.another_beginning, 0.0, 0.0),
    "full_downstream": Control(both_states, s.wrong_donor, 0.0, FLOOR),
    "trigger_and_notes": Control(both_states, s.wrong_donor, 0.0, FLOOR),
    "zero_edit": Control(zero_edit, s.set_for_add),
    "edits_are_taken_away": Control(weights_back, s.edit_stays),
    "extend_equals_prefill": Control(composing_checks, s.values_shifted, field="noise"),
    "splice_at_own_position": Control(composing_checks, s.without_context, field="own_position"),
    "turned_keys": Control(composing_checks, s.wrong_rotation, 0.0, ALLOWED.keys, field="turned"),
    "there_and_back": Control(
        composing_checks, s.wrong_rotation, 0.0, THERE_AND_BACK["float32"], field="there_and_back"
    ),
    "whole_chunk_recomputed": Control(composing_checks, s.repairs_one_token, field="whole_chunk"),
    "stale_equals_full": Control(agent_checks, s.values_shifted, field="stale_equals_full"),
    "prefix_cache_equals_full": Control(agent_checks, s.values_shifted, field="prefix_cache_equals_full"),
    "splice_in_place": Control(agent_checks, s.without_context, field="splice_in_place"),
    "stale_refused": Control(agent_checks, s.tools_that_take_all, 1.0, 0.0, field="stale_refused"),
    "current_accepted": Control(agent_checks, s.tools_that_refuse_all, 1.0, 0.0, field="current_accepted"),
    "erratum_is_a_prefill": Control(errata, s.values_shifted, field="prefill_difference"),
    "earlier_columns_kept": Control(errata, s.values_shifted, 1.0, 0.0, field="earlier_columns_kept"),
    "suffix_recompute_equals_full": Control(exact_edits, s.values_shifted),
    "suffix_recompute_equals_full_reprefill": Control(exact_edits, s.values_shifted),
    "last_token_equals_rerun": Control(lambda: told.last_token(tiny("llama"), scene()[1]), s.values_shifted),
    "trace_equals_api": Control(traces, s.another_cache_opened),
    "traced_splices_equal_api": Control(lambda: told.splice_traces(engine(), case()), s.another_cache_opened),
    "own_cache_read_again": Control(lambda: told.own_cache(engine(), case()), s.another_cache_opened),
    "outputs_are_weights_times_values": Control(
        lambda: told.told_outputs(engine(), case()), s.unscaled_weights, 0.0, ALLOWED.outputs
    ),
    "positions_agree": Control(positions_agree, s.another_pair, 1.0, 0.0),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_control_passes_as_things_are_and_fails_when_they_are_broken(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S15: ``write_parts_sum`` telescoped, so that nothing could make it fail."""
    one = TABLE[name]
    assert one.missed(as_things_are(one.measured)) <= one.tolerance
    one.broken(monkeypatch)
    assert one.missed(one.measured()) > one.tolerance


def written_names() -> tuple[set[str], set[str]]:
    """Names of the controls that code can write, and the beginnings of those that it puts together."""
    names, stems = set[str](), set[str]()
    for room in ("experiments", "pkv_interp"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call) or not node.args:
                    continue
                func, first = node.func, node.args[0]
                called = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
                if called not in {"control", "note", "Check"}:
                    continue
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    names.add(first.value)
                elif isinstance(first, ast.JoinedStr) and isinstance(first.values[0], ast.Constant):
                    stems.add(str(first.values[0].value))
    return names, stems


def test_every_control_of_every_experiment_is_in_the_table() -> None:
    """A control that code or a committed record has, and that nothing here breaks, fails this test."""
    recorded = {
        control["name"]
        for path in (ROOT / "results").glob("*/*.json")
        for control in json.loads(path.read_text()).get("controls", [])
    }
    names, stems = written_names()
    assert {"self_patch", "turned_keys", "zero_edit", "direct_logits_sum"} <= names
    assert recorded | names <= set(TABLE) | set(ELSEWHERE)
    for name, test in ELSEWHERE.items():
        assert f'"{name}" in failed(' in (ROOT / "tests" / "experiments" / test).read_text(), name
    assert all(any(known.startswith(stem) for known in TABLE) for stem in stems)


def test_keystone_checks_fail_as_those_of_composing_do(monkeypatch: pytest.MonkeyPatch) -> None:
    source, _ = scene()
    one = source.scenes(source.style(1), 1)[0]
    good = keystone_check(tiny("llama"), one)
    assert max(good.own_position, good.noise) <= LOGITS
    assert good.turned <= ALLOWED.keys
    with monkeypatch.context() as patch:
        sabotage.values_shifted(patch)
        assert keystone_check(tiny("llama"), one).noise > LOGITS
    with monkeypatch.context() as patch:
        sabotage.without_context(patch)
        assert keystone_check(tiny("llama"), one).own_position > LOGITS
    sabotage.wrong_rotation(monkeypatch)
    assert keystone_check(tiny("llama"), one).turned > ALLOWED.keys
