"""The parts of the experiment on memories: what each asks, edits, cuts and plays, and what that costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from scipy.stats import spearmanr

from experiments.memory.agents import _Playing, episode
from experiments.memory.blocks import cut, referring
from experiments.memory.edits import STALE, Scene, toggled
from experiments.memory.personas import persona, questions
from experiments.memory.placement import run_placement
from experiments.memory.prompts import lay, memory_text, talk
from experiments.memory.reading import FULL
from experiments.memory.transplant import begun, compiled
from experiments.memory.words import CUE, VALUES
from pkv_interp.cache import FrozenCache
from pkv_interp.cache.compute import Runner
from pkv_interp.cache.computed import Computed
from pkv_interp.engine import Engine
from tests.experiments.memory_examples import settings, someone, wording
from tests.families import tiny


def test_the_full_prefill_of_a_placement_is_what_the_model_says_to_the_whole_text() -> None:
    one, asked = someone(), settings()
    found = run_placement(one, wording(), asked, reasons=False)
    laid = lay(wording(), one, "early", talk(asked.n_turns, asked.seed, one.instance))
    ids = (*laid.before, *wording().ids(memory_text(one.memory())), *laid.after)
    about = questions(one, 1, asked.seed)[0]
    assert [line.condition for line in found.asked[:2]] == ["early direct", "early read_back"]
    runner, renderer = Runner.of(tiny("llama").model), wording().renderer
    words_ = wording().question(laid.text, about, "direct").ids
    at_once, read_back = (line.readings[FULL] for line in found.asked[:2])
    yes, no = wording().answers
    logits = runner.prefill((*ids, *words_)).logits
    assert at_once.margin == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)
    assert at_once.values == ()
    stated = (*ids, *wording().question(laid.text, about).ids)
    first = runner.prefill(stated).logits
    scores = [float(first[renderer.after(f" {value}")[0]]) for value in VALUES]
    assert read_back.values == (scores[0] > scores[1],)
    value = VALUES[0] if read_back.values[0] else VALUES[1]
    logits = runner.prefill((*stated, *renderer.after(f" {value}\n{CUE}"))).logits
    assert read_back.margin == pytest.approx(float(logits[yes] - logits[no]), abs=1e-4)
    assert found.asked[1].values == one.held(about.names)


def test_a_toggled_setting_is_edited_by_each_method_at_its_cost() -> None:
    scene = Scene.of(someone(), wording(), settings())
    one = questions(scene.persona, 1, 0)[0]
    found = toggled(
        scene, one, one.toggled, ("in_place", "erratum", "recompute@2", "recompile"), Engine(tiny("llama"))
    )
    tokens = {method: ran for method, (_, ran) in found.items()}
    span = scene.memory.blocks[0].state.spans[one.names[0]]
    assert tokens[STALE] == 0
    assert tokens["in_place"] == span[1] - span[0]
    assert tokens["recompute@2"] == tokens["in_place"] + 2
    assert tokens["recompile"] == len(scene.memory.blocks[0].state.ids)
    assert tokens[FULL] == found[FULL][0].length
    text = tiny("llama").tokenizer.decode(list(found["in_place"][0].ids))
    assert f"] {one.names[0]}: disabled" in text
    old = tiny("llama").tokenizer.decode(list(found[STALE][0].ids))
    assert f"] {one.names[0]}: enabled" in old
    assert found["erratum"][0].ids[: found[STALE][0].length] == found[STALE][0].ids
    after = len(scene.memory.blocks[0].state.ids) - span[1]
    most = toggled(scene, one, one.toggled, ("recompute@4000", "recompute@all"), Engine(tiny("llama")))
    assert most["recompute@4000"][1] == most["recompute@all"][1] == tokens["in_place"] + after


def test_positions_are_ranked_by_the_attention_of_the_decision() -> None:
    scene = Scene.of(someone(), wording(), settings())
    one = questions(scene.persona, 1, 0)[0]
    words_ = wording().question(scene.laid.text, one)
    ranked = scene.ranking(one.names[0], words_, Engine(tiny("llama")))
    assert wording().cue(one.names[0]) == words_.cue
    state = scene.memory.blocks[0].state
    assert sorted(ranked) == list(range(state.spans[one.names[0]][1], len(state.ids)))
    asked = (*scene.opening.attach(scene.memory).ids, *words_.ids)
    whole = Engine(tiny("llama")).prefill(asked, {"attention"})
    # Of a prefill of the same tokens, like the splice's: so is the order, far more than by chance.
    moved = scene.opening.length - scene.memory.blocks[0].start
    weights = whole.need("attn").double().mean((0, 1))
    there = [float(weights[at + moved]) for at in ranked]
    order: Any = spearmanr(there, range(len(there)))
    assert order.statistic < -0.4
    assert order.pvalue < 1e-6
    two = questions(scene.persona, 2, 0)[0]
    asked_both = wording().question(scene.laid.text, two)
    other = scene.ranking(two.names[1], asked_both, Engine(tiny("llama")))
    alone = replace(asked_both, names=two.names[1:], cue=wording().cue(two.names[1]))
    assert other == scene.ranking(two.names[1], alone, Engine(tiny("llama")))


def test_a_definition_and_its_line_are_cut_apart_or_not_in_one_text() -> None:
    one = someone()
    target = one.settings[5]
    lines, at = referring(one, "focus hour", target)
    between, after = cut(lines, at + 1), cut(lines, at + 2)
    assert memory_text(between) == memory_text(after)
    first, second = ("".join(s.text for s in block) for block in between.blocks)
    assert first.endswith(f"focus hour follows the value of: {target.name}\n")
    assert second.startswith(f"- [{target.category}] {target.name}: ")
    assert f"] {target.name}: " in "".join(s.text for s in after.blocks[0])


def test_the_turns_of_an_agent_change_what_is_asked_and_golds_go_round() -> None:
    asked = settings("sizes=[24]", "agent_turns=12", "decide_every=3", "edit_rate=0.25")
    golds: list[bool] = []
    for number in range(4):
        one = persona(0, number, 24)
        turns = episode(one, asked, number)
        assert len(turns) == 12
        assert sum(turn.change is not None for turn in turns) == 3
        assert [turn.question is not None for turn in turns] == [False, False, True] * 4
        for turn in turns:
            one = one.changed(*turn.change) if turn.change else one
            assert turn.persona == one
        golds += [bool(turn.gold) for turn in turns if turn.question is not None]
    assert sum(golds) * 2 == len(golds)


def test_a_prefix_cache_with_the_memory_first_is_a_prefill_that_takes_one_forward(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, runner = someone(), Runner.of(tiny("llama").model)
    memory, opening = compiled(one, wording()), begun(wording(), wording().opening)
    begin = (*opening.ids, *memory.ids)
    playing = _Playing(memory, opening, opening, (begin, runner.prefill(begin).cache), "in_place")
    words_ = wording().question(memory_text(one.memory()), questions(one, 1, 0)[0]).ids
    name = one.settings[3].name
    ids = begin
    forwards: list[int] = []
    extend = Runner.extend

    def counted(self: Runner, cache: FrozenCache, more: tuple[int, ...]) -> Computed:
        forwards.append(len(more))
        return extend(self, cache, more)

    monkeypatch.setattr(Runner, "extend", counted)
    for said, on in (("User: hello\n", True), ("User: and now?\n", False)):
        begin_now = (*opening.ids, *wording().ids(memory_text(one.changed(name, on).memory())))
        ids = (*begin_now, *ids[len(begin) :], *wording().ids(said))
        before, forwards[:] = playing.first[0], []
        done, tokens = playing.ahead(ids, words_)
        same = next((i for i, (a, b) in enumerate(zip(before, ids, strict=False)) if a != b), len(before))
        assert forwards == [tokens] == [len(ids) - same + len(words_)]
        assert float((done.logits - runner.prefill((*ids, *words_)).logits).abs().max()) < 1e-4
        assert playing.first[0] == ids
        assert playing.first[1].length == len(ids)
