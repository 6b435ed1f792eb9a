"""Each figure of the confirmatory run is measured as in the experiment that it comes from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from experiments.agent.arms import run_arms
from experiments.circuit.sites import choose_sites, measure_sites
from experiments.composing.cases import Scene
from experiments.composing.scenes import measure_scene
from experiments.composing.spliced import TRANSPLANT, Arms
from experiments.confirm.cases import Cases, build_cases
from experiments.confirm.edits import (
    OTHER,
    RECOMPUTED,
    TAGGED,
    edit_scene,
    learn_effects,
    most_attended,
)
from experiments.confirm.episodes import ARMS, play
from experiments.confirm.items import Laid
from experiments.confirm.making import MOVED, Maker
from experiments.confirm.pairs import RANDOM, TOP, choose_heads, score_pair, sweep_heads
from experiments.confirm.quads import RankedNotes, choose_labels, score_quad, sweep_notes
from experiments.confirm.scoring import edits_of
from experiments.confirm.settings import ConfirmSettings
from experiments.confirm.splices import move_policy
from experiments.controls.cases import Cases as ControlsCases
from experiments.controls.cases import QuadAndTwin as ControlsQuad
from experiments.controls.ranking import rank_notes, rank_sites
from experiments.controls.scores import lens_margins, run_quad
from experiments.controls.scores import scrub as controls_scrub
from experiments.editing.errata import tell_every_way
from experiments.editing.frontier import edit_every_way
from pkv_interp.cache.compute import Runner
from pkv_interp.engine import Engine
from pkv_interp.measure.edit_scenes import SceneSource
from pkv_interp.measure.heads import joint_heads
from pkv_interp.measure.pairs import run_pair
from pkv_interp.measure.probes import commit_index
from pkv_interp.prompts.blocks import block_span
from pkv_interp.run.scenario_settings import world_of
from pkv_interp.run.stage import Stage, key_of
from pkv_interp.tasks.quads import quad_twin
from pkv_interp.tasks.sites import positions_of
from tests import runs
from tests.experiments.configs import compose
from tests.families import tiny

CLOSE = 1e-5


@cache
def settings() -> ConfirmSettings:
    made = compose("confirm", *runs.CONFIRM)
    assert isinstance(made, ConfirmSettings)
    return made


@cache
def cases() -> Cases:
    return build_cases(settings(), tiny("llama").tokenizer)


@cache
def engine() -> Engine:
    return Engine(tiny("llama"))


def test_read_heads_are_those_of_the_circuit() -> None:
    few = [one.case for one in cases().ranking_polarity[:3]]
    circuit: Any = compose("circuit", *runs.SMALL, "top_k=[2]")
    sites = Stage({key_of(case): measure_sites(engine(), case).sites for case in few})
    theirs = choose_sites(circuit, few, sites, np.random.default_rng(5))
    at = circuit.sizes.index(2)
    # The circuit draws sets of other sizes as well, in turn; this one comes first.
    assert at == 0
    ours = choose_heads(
        [sweep_heads(engine(), case) for case in few], 2, circuit.random_draws, np.random.default_rng(5)
    )
    assert ours.top == theirs.readers[:2]
    assert ours.random == theirs.random_readers[at]
    one = cases().polarity[0]
    scored = score_pair(engine(), one, ours)
    found = joint_heads(engine(), run_pair(engine(), one.case), [ours.top, *ours.random])
    assert scored.arms[TOP] == pytest.approx(found[0], abs=CLOSE)
    assert scored.arms[RANDOM] == pytest.approx(found[1:].mean(), abs=CLOSE)
    states = measure_sites(engine(), one.case).sites.states
    assert {name: scored.arms[name] for name in states} == pytest.approx(states, abs=CLOSE)


def test_labels_scrubbing_and_commit_depth_are_those_of_the_controls() -> None:
    ranking, (both, *_) = [one.quad for one in cases().ranking_quads[:2]], cases().quads
    controls: Any = compose("controls", *runs.CONTROLS, "n_aggregators=4")
    packaged = world_of(None)
    maker = Maker(packaged, packaged.families, settings(), tiny("llama").tokenizer, (None,), [])
    families, recipe = packaged.by_name, maker.recipe(None)
    twinned = [
        ControlsQuad(
            one,
            lambda one=one, i=i: quad_twin(one, families[one.family], i, tiny("llama").tokenizer, **recipe),
        )
        for i, one in enumerate(ranking)
    ]
    ranked = Stage({one.instance: rank_sites(engine(), one) for one in twinned})
    theirs = rank_notes(controls, ControlsCases(ranking, [both.quad], [], []), ranked)
    ours = choose_labels(ranking, [sweep_notes(engine(), one.polarity) for one in ranking], [both], 4)
    assert ours.single == theirs.labels
    assert ours.strongest == list(theirs.notes)[:4]
    scores = score_quad(engine(), both, ours, [1, 2]).scores
    polarity, opposite, _ = run_quad(engine(), both.quad, frozenset({"prefill"}))
    case = both.quad.polarity
    note = positions_of(case.clean, set(ours.strongest), case.after_change)
    twins = [engine().prefill(prompt.ids) for prompt in both.twin.prompts]
    found = controls_scrub(engine(), twins, polarity, opposite, note)
    for claim, donor, where in (
        ("scrub_note", "other", "note"),
        ("scrub_rest", "other", "rest"),
        ("scrub_same", "same", "all"),
    ):
        clean, corrupt = found.clean[donor][where], found.corrupt[donor][where]
        expected = (polarity.clean_margin - clean, corrupt - polarity.corrupt_margin)
        assert scores.moved[claim] == pytest.approx(expected, abs=CLOSE)
    cells = (polarity.clean, polarity.corrupt, opposite.clean, opposite.corrupt)
    lens = np.stack([lens_margins(engine(), cell, case.action_ids) for cell in cells])
    assert scores.commit == pytest.approx(commit_index(lens).max() / engine().spec.n_layers)


@pytest.mark.parametrize("number", [0, 1])
def test_edits_are_those_of_the_experiment_on_editing(number: int) -> None:
    one = edits_of(cases().field, 2)[number]
    editing: Any = compose("editing", *runs.EDITING, "erratum=tagged")
    source = SceneSource.of(editing, tiny("llama").tokenizer)
    source = replace(source, scenarios=world_of(settings().scenarios))
    # Nothing is known of any position, so that both take the last ones first.
    ours = edit_scene(engine(), one, {}, 4)
    frontier = edit_every_way(tiny("llama"), one.scene, source, {}, editing)
    errata = tell_every_way(tiny("llama"), one.scene, editing)
    assert ours.arms[RECOMPUTED] == pytest.approx(frontier.methods["recompute@4"].decision.margin, abs=CLOSE)
    assert ours.arms[TAGGED] == pytest.approx(errata.wordings["tagged"].margin, abs=CLOSE)
    assert ours.arms[OTHER] == pytest.approx(errata.unrelated["tagged"].margin, abs=CLOSE)
    assert ours.decisions[1].margin == pytest.approx(frontier.full.margin, abs=CLOSE)
    assert ours.decisions[0].margin == pytest.approx(-frontier.stale.margin, abs=CLOSE)
    assert [d.gold_is_match for d in ours.decisions] == [number == 1, number == 0]


@pytest.mark.parametrize("number", [0, 1])
def test_the_most_attended_are_told_by_the_prompt_before_its_edit(number: int) -> None:
    one = edits_of(cases().field, 2)[number]
    old = one.case.corrupt if one.scene.task.matches else one.case.clean
    weights = engine().prefill(old.ids, {"attention"}).need("attn").mean((0, 1))
    notes = range(one.case.after_change, old.decision)
    ranked = most_attended(engine(), one, notes)
    assert sorted(ranked) == list(notes)
    assert [float(weights[at]) for at in ranked] == sorted((float(weights[at]) for at in notes), reverse=True)


def test_effects_are_pooled_by_label_over_families() -> None:
    first, second = (one.case for one in cases().ranking_field[:2])
    found = [
        RankedNotes(3.0, 1.0, np.full(case.clean.decision - case.after_change, 1.0 + value))
        for case, value in ((first, 0.2), (second, 0.4))
    ]
    assert learn_effects([first, second], found)["action.first"] == pytest.approx(0.6 / 4.0)
    known = learn_effects([first], found[:1])
    assert list(known.values()) == pytest.approx([0.1] * len(known))


@pytest.mark.parametrize("late", [False, True])
def test_splices_are_those_of_the_experiment_on_composing(late: bool) -> None:
    one: Laid = (cases().moved_late if late else cases().moved)[0]
    loaded = tiny("llama")
    runner = Runner.of(loaded.model)
    ours = move_policy(runner, loaded.tokenizer, one)
    scene = Scene("rule", one.case, (block_span(one.case.clean, MOVED),))
    theirs = measure_scene_of(runner, loaded.tokenizer, scene)
    assert ours.full == pytest.approx([side[0] for side in theirs], abs=CLOSE)
    assert ours.spliced == pytest.approx([side[1] for side in theirs], abs=CLOSE)


def measure_scene_of(runner: Runner, tokenizer: Any, scene: Scene) -> list[tuple[float, float]]:
    """Margins of the full prefill and of the transplant; menus are read from a packaged question alone."""
    import experiments.composing.scenes as composing

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(composing, "_first", lambda _text, _actions: 0)
        found = measure_scene(runner, tokenizer, scene, Arms(()))
    return [(side.margin, side.arms[TRANSPLANT].margin) for side in found.sides]


def test_episodes_are_those_of_the_experiment_on_agents() -> None:
    one, loaded = cases().episodes[0], tiny("llama")
    runner, world = Runner.of(loaded.model), world_of(settings().scenarios)
    agent: Any = compose("agent", "model=tiny-llama", runs.CONFIRM[1])
    ours = play(runner, loaded.tokenizer, one, world, 0.0)
    theirs = run_arms(runner, loaded.tokenizer, one.episode, one.style, agent)
    for arm in ARMS:
        mine, found = ours.arms[arm.name], theirs.arms[arm.name]
        assert mine.right.tolist() == found.right.tolist()
        assert mine.tokens.tolist() == found.tokens.tolist()
    assert [d.margin for d in ours.decisions] == pytest.approx(theirs.arms["full"].margin.tolist(), abs=CLOSE)
    assert ours.prefix_cache_equals_full == pytest.approx(theirs.checks.prefix_cache_equals_full, abs=CLOSE)
    assert ours.splice_in_place == pytest.approx(theirs.checks.splice_in_place, abs=CLOSE)
    assert (ours.stale_refused, ours.current_accepted) == (1.0, 1.0)
