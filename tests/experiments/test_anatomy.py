"""The anatomy experiment: readers whose mechanism is known, and its controls against adversaries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import experiments.anatomy.prediction as prediction
import experiments.anatomy.prefill_paths as prefill_paths
import pkv_interp.engine.edits as engine_edits
from experiments import find
from experiments.anatomy.heads import draw_heads, measure_heads
from experiments.anatomy.measure import Measured
from experiments.anatomy.parts import measure_parts
from experiments.anatomy.prefill_paths import CUT_OFF, combined, measure_paths
from experiments.anatomy.words import UNWORDED, Rewordings, Words, measure_words, patches
from pkv_interp.cache import Runner
from pkv_interp.engine import Engine
from pkv_interp.interventions import KVPatch
from pkv_interp.measure.heads import all_heads
from pkv_interp.measure.margin_model import outputs_over
from pkv_interp.measure.note_groups import paths
from pkv_interp.measure.pairs import decode_margins, run_pair
from pkv_interp.run.scoring import Scoring
from pkv_interp.run.stage import Stage
from pkv_interp.tasks import BY_NAME, Style
from pkv_interp.tasks.reworded import Reworded, reworded
from tests.experiments.anatomy_examples import SETTINGS, failed, headlines, small_run
from tests.families import tiny


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(tiny("llama"))


@pytest.fixture(scope="module")
def one(engine: Engine) -> Reworded:
    return reworded(BY_NAME["orders"], 0, engine.loaded.tokenizer, seed=0, style=Style(n_fillers=1))


@pytest.fixture(scope="module")
def small(small_results: Callable[[str], Path]) -> tuple[Measured, Scoring[Any]]:
    return small_run(small_results("anatomy"))


def test_the_small_run_states_what_the_issue_asks_for(small: tuple[Measured, Scoring[Any]]) -> None:
    stated = headlines(*small)
    asked = {
        "notes_k_only",
        "notes_v_only",
        "action_k_only",
        "follows_role",
        "follows_word",
        "path_rule_field",
        "linear_prediction_r2",
    }
    assert asked <= set(stated)
    assert failed(*small) == set()


@pytest.mark.parametrize(
    ("role", "word", "swapped"),
    [(1.0, 0.0, 1.0), (0.0, 1.0, -1.0), (0.0, 0.0, 0.0)],
    ids=["role", "word", "none"],
)
def test_a_reader_of_roles_and_one_of_words_are_told_apart(
    small: tuple[Measured, Scoring[Any]], role: float, word: float, swapped: float
) -> None:
    measured, scoring = small
    cases = measured.cases.held_out
    gaps = {
        case.instance: part.clean - part.corrupt
        for case, part in zip(cases, measured.parts.of(cases), strict=True)
    }

    def planted(key: str, found: Rewordings) -> Rewordings:
        gap = next(gap for instance, gap in gaps.items() if key.endswith(instance))

        def words(role: float, word: float) -> Words:
            names = found.same.role
            return Words({n: role * gap for n in names}, {n: word * 2.0 for n in names}, 2.0, True)

        return replace(found, swapped=words(swapped, 0.0), renamed=words(role, word))

    made = Stage({key: planted(key, found) for key, found in measured.words.results.items()})
    stated = headlines(replace(measured, words=made), scoring)
    assert stated["follows_role"] == pytest.approx(role)
    assert stated["follows_word"] == pytest.approx(word)
    assert stated["follows_swapped"] == pytest.approx(swapped)


def test_where_the_rule_comes_first_no_path_of_its_tokens_is_stated(tmp_path: Path) -> None:
    sizes = {"discovery": ("orders",), "held_out": ("documents", "alerts"), "instances": 1, "random_draws": 1}
    record = find("anatomy").run(
        model="tiny-llama",
        layout="field_late",
        results_dir=tmp_path,
        bootstrap_draws=100,
        top_k=(1,),
        verify="none",
        **sizes,
    )
    paths = {line["path"] for line in record.tables["paths"]}
    assert "later_rule" in paths
    assert not any("rule_field" in path for path in paths)
    assert {"notes", "menu", "others"} <= {line["group"] for line in record.tables["parts"]}
    assert all(control.passed for control in record.controls)


def test_without_donors_nothing_is_said_of_them(small: tuple[Measured, Scoring[Any]]) -> None:
    measured, scoring = small
    bare = measured.words.map(lambda found: replace(found, swapped=None, renamed=None))
    stated = headlines(replace(measured, words=bare), scoring)
    assert not {"follows_role", "follows_word", "follows_swapped"} & set(stated)
    assert "follows_same" in stated


def test_a_donor_of_the_same_words_is_the_patch_itself(engine: Engine, one: Reworded) -> None:
    pair = run_pair(engine, one.case, set())
    found = measure_words(engine, one).same
    put = patches(one)
    rows = [tuple(KVPatch(at, 0, None, part) for at, part in put[name]) for name in put]
    moved = decode_margins(engine, pair, rows) - pair.corrupt_margin
    assert [found.role[name] for name in put] == pytest.approx(list(moved), abs=1e-5)
    assert UNWORDED in put
    assert found.gap == pytest.approx(pair.gap)


def test_every_combination_of_the_crossed_paths_is_closed(engine: Engine, one: Reworded) -> None:
    names = combined(["rule_field", "later_field", "later_rule", "question_rule", "decision_field"])
    assert len(set(names)) == len(names) == 2**4 - 1 + 1
    found = measure_paths(engine, one.case, SETTINGS)
    assert {" + ".join(mine) for mine in names} <= set(found.clean)
    assert found.clean[CUT_OFF] == pytest.approx(found.corrupt[CUT_OFF], abs=1e-5)
    assert len(found.random) == SETTINGS.random_draws


def test_a_path_that_is_not_closed_fails_the_control(
    engine: Engine, one: Reworded, small: tuple[Measured, Scoring[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: tokens after the rule keep seeing the field."""
    monkeypatch.setattr(
        prefill_paths,
        "paths",
        lambda tokens: {name: k for name, k in paths(tokens).items() if name != "later_field"},
    )
    leaky = measure_paths(engine, one.case, SETTINGS)
    measured, scoring = small
    stage = measured.paths.map(lambda found: replace(found, clean=leaky.clean, corrupt=leaky.corrupt))
    assert "field_cut_off" in failed(replace(measured, paths=stage), scoring)


def test_values_of_the_wrong_head_fail_the_control(
    engine: Engine, one: Reworded, small: tuple[Measured, Scoring[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: query heads are given the values of another group."""
    heads = all_heads(engine.spec)
    chosen = draw_heads(heads, SETTINGS.sizes, engine.spec.n_heads, 2, np.random.default_rng(0))
    good = measure_heads(engine, one.case, chosen, SETTINGS)
    mixed = engine_edits.mixed_output
    last = engine.spec.n_heads - 1
    monkeypatch.setattr(
        engine_edits,
        "mixed_output",
        lambda edit, base, donor: mixed(replace(edit, head=last - edit.head), base, donor),
    )
    bad = measure_heads(engine, one.case, chosen, SETTINGS)
    assert good.own < 1e-4 < bad.own
    measured, scoring = small
    stage = measured.heads.map(lambda found: replace(found, own=bad.own))
    assert "own_attention" in failed(replace(measured, heads=stage), scoring)


def test_keys_that_bring_their_values_fail_the_control(
    engine: Engine, one: Reworded, small: tuple[Measured, Scoring[Any]]
) -> None:
    """Adversary: what is called keys alone is keys and values, so that both halves are not both."""
    found = measure_parts(engine, one.case, SETTINGS)
    assert found.halves == pytest.approx(found.patched["notes/KV/all"], abs=1e-5)
    assert found.own == pytest.approx(found.corrupt, abs=1e-5)
    assert found.patched["notes/K/all"] != pytest.approx(found.patched["notes/KV/all"], abs=1e-4)
    measured, scoring = small
    stage = measured.parts.map(lambda part: replace(part, halves=part.patched["notes/K/all"]))
    assert "keys_and_values_make_both" in failed(replace(measured, parts=stage), scoring)
    stage = measured.parts.map(lambda part: replace(part, own=part.patched["notes/K/all"]))
    assert "own_keys" in failed(replace(measured, parts=stage), scoring)


def test_a_donor_of_other_words_fails_the_control(small: tuple[Measured, Scoring[Any]]) -> None:
    """Adversary: donors that are said to have the same words have others."""
    measured, scoring = small
    stage = measured.words.map(
        lambda found: replace(found, same=replace(found.same, role={name: 1.0 for name in found.same.role}))
    )
    assert "same_donor" in failed(replace(measured, words=stage), scoring)


def test_values_of_another_layer_fail_the_prediction_s_control(
    engine: Engine, one: Reworded, small: tuple[Measured, Scoring[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adversary: what heads put out is told from weights and values of the layers in another order."""
    runner = Runner.of(engine.loaded.model)
    good = prediction.predict(engine, runner, one.case, (), SETTINGS)
    monkeypatch.setattr(prediction, "outputs_over", lambda *given: outputs_over(*given).flip(0))
    bad = prediction.predict(engine, runner, one.case, (), SETTINGS)
    assert good.own_outputs < 1e-4 < bad.own_outputs
    measured, scoring = small
    stage = measured.predictions.map(lambda found: replace(found, own_outputs=bad.own_outputs))
    failing = failed(replace(measured, predictions=stage), scoring)
    assert "outputs_are_weights_times_values" in failing
