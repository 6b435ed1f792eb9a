"""Records to edit, the counter of changed decisions, and facts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.tasks import BY_NAME, Recipe, Style
from pkv_interp.weight_editing.covariance import key_covariances
from pkv_interp.weight_editing.decisions import Choice, changed, margins
from pkv_interp.weight_editing.facts import RELATIONS, Fact, known_facts
from pkv_interp.weight_editing.mutable import RecordEdit, record_edit
from pkv_interp.weight_editing.projections import down_projection
from pkv_interp.weight_editing.rome import RankOneEdit
from pkv_interp.weight_editing.text import corpus_runs
from pkv_interp.weight_editing.validation import prefixes, score_fact
from pkv_interp.weight_editing.value import ValueSettings
from tests.families import FAMILIES, ids_of, tiny


def made(family: str = "llama", index: int = 0, n_others: int = 3) -> RecordEdit:
    tokenizer = tiny(family).tokenizer
    recipe = Recipe(0, Style(n_fillers=1))
    return record_edit(BY_NAME["orders"], index, tokenizer, recipe=recipe, n_others=n_others)


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_field_differs_between_old_and_new_and_only_the_record_from_others(family: str):
    edit = made(family)
    old, new = edit.mine.prompt, edit.renewed.prompt
    assert old.text.replace(f": {edit.old}\n", f": {edit.new}\n") == new.text
    assert len(old) == len(new)
    assert edit.record not in "".join(other.prompt.text for other in edit.others)
    assert len({other.prompt.text for other in edit.others}) == 3
    for other in edit.others:
        assert f"{edit.field}: {edit.old}\n" in other.prompt.text
        assert other.prompt.text.count(edit.new) == old.text.count(edit.new)
        assert other.actions == edit.mine.actions
    assert edit.rephrased.prompt.text != old.text
    assert f"{edit.field}: {edit.old}\n" in edit.rephrased.prompt.text
    assert edit.record in edit.rephrased.prompt.text


def test_the_wanted_action_is_what_the_rule_says_of_the_new_value():
    for index, sign in ((0, 1.0), (1, -1.0)):
        edit = made(index=index)
        trigger = edit.new if index == 0 else edit.old
        assert edit.wanted == sign
        rule = next(s.text for s in edit.mine.messages[1].segments if s.kind == "trigger")
        assert rule == trigger
        assert edit.target == edit.mine.choice.options[0 if sign > 0 else 1]


def test_statements_are_keyed_on_the_record_and_aim_at_the_action_or_the_value():
    edit = made()
    tokenizer: Any = tiny("llama").tokenizer
    on_record = edit.decision_statement(at_record=True)
    upto = tokenizer.decode(on_record.ids[: on_record.at + 1]).replace(" ", "")
    assert upto.endswith(edit.record)
    last = edit.decision_statement(at_record=False)
    assert last.at == len(last.ids) - 1
    assert {on_record.target, last.target} == {edit.target}
    for one in edit.value_statements(tokenizer):
        assert tokenizer.decode(one.ids[: one.at + 1]).replace(" ", "").endswith(edit.record)
        assert edit.new.startswith(tokenizer.decode([one.target]).strip())


def test_changed_counts_decisions_that_turn_and_no_others():
    np.testing.assert_array_equal(
        changed([1.0, -2.0, 0.5, -0.1], [0.2, 3.0, -0.5, -9.0]), [False, True, True, False]
    )
    with pytest.raises(PkvError, match="same decisions"):
        changed([1.0], [1.0, 2.0])
    with pytest.raises(PkvError, match="same decisions"):
        changed([], [])


def test_an_edit_that_bleeds_over_is_counted_and_one_of_another_direction_is_not():
    """A rank-one edit built to push one option up at a key that two prompts share and a third has not."""
    loaded = tiny("llama")
    run = Runner.of(loaded.model)
    layer = loaded.spec.n_layers - 1
    a, b = (ids_of(loaded, 12, seed) for seed in (1, 2))
    choices = [Choice((*ids, 500), (400, 401)) for ids in (a, b)]
    before = margins(run, choices)
    weight = down_projection(loaded.model, layer).weight
    # The last token's own key in the first prompt, and the part of it that the second one's has not.
    keys = [_key(loaded, layer, one.ids) for one in choices]
    towards = (loaded.model.lm_head.weight[400] - loaded.model.lm_head.weight[401]).detach()  # type: ignore[union-attr,index]
    sign = -np.sign(before[0])
    left = (float(sign) * 300.0 * towards / towards.norm()).to(weight)
    apart = keys[0] - keys[1] * (keys[0] @ keys[1]) / (keys[1] @ keys[1])

    def edit(right: torch.Tensor) -> np.ndarray:
        made = RankOneEdit(layer, left, right / (right @ keys[0]), keys[0], left, 0, 0.0)
        with made.applied(loaded.model):
            return changed(before, margins(run, choices))

    np.testing.assert_array_equal(edit(apart), [True, False])
    shared = keys[0] / keys[0].norm() + keys[1] / keys[1].norm()
    wanted = np.sign(before) == np.sign(before[0])  # one that leans the other way cannot turn
    np.testing.assert_array_equal(edit(shared), [True, wanted[1]])


def _key(loaded: Any, layer: int, ids: tuple[int, ...]) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    handle = down_projection(loaded.model, layer).register_forward_pre_hook(
        lambda _m, args: seen.append(args[0][0, -1].detach())
    )
    Runner.of(loaded.model).prefill(ids)
    handle.remove()
    return seen[0]


@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "gpt-oss"])
def test_a_fact_is_scored_and_the_model_left_as_it_was(family: str):
    loaded = tiny(family)
    run, relation = Runner.of(loaded.model), RELATIONS[-1]
    facts = [Fact(relation, subject, "wrong") for subject in ("hot", "up", "left")]
    made = key_covariances(loaded.model, corpus_runs(loaded.tokenizer, 600), [1])[1]
    before = {name: t.clone() for name, t in loaded.model.state_dict().items()}
    found = score_fact(run, loaded.tokenizer, facts[0], facts, 1, made, ValueSettings(steps=2))
    assert 0.0 <= found.quality <= 1.0
    assert found.locality in (0.0, 0.5, 1.0)  # two neighbours
    assert all(torch.equal(t, before[name]) for name, t in loaded.model.state_dict().items())
    with pytest.raises(PkvError, match="no known neighbour"):
        score_fact(run, loaded.tokenizer, facts[0], facts[:1], 1, made, ValueSettings(steps=1))


def test_facts_of_a_model_that_knows_none_are_none():
    loaded = tiny("llama")
    assert known_facts(Runner.of(loaded.model), loaded.tokenizer) == {}


def test_there_are_forty_facts_with_three_prompts_each():
    assert sum(len(relation.objects) for relation in RELATIONS) == 40
    for relation in RELATIONS:
        assert all(text.count("{s}") == 1 for text in (*relation.prompts, relation.essence))
        assert len(relation.prompts) == 3
        assert len(set(relation.objects.values())) > 1


def test_prefixes_have_one_length_and_runs_cover_the_corpus_evenly():
    tokenizer = tiny("llama").tokenizer
    assert len({len(prefix) for prefix in prefixes(tokenizer)}) == 1
    assert len(set(prefixes(tokenizer))) == 4
    whole, part = corpus_runs(tokenizer, 10**9), corpus_runs(tokenizer, 1024)
    assert len(part) == 4
    assert all(run in whole for run in part)
    assert part[-1] in whole[len(whole) // 2 :]


@pytest.mark.slow
def test_a_real_fact_is_edited_and_its_neighbours_stay(real_model: Any):
    run, tokenizer = Runner.of(real_model.model), real_model.tokenizer
    facts = known_facts(run, tokenizer)["capital"]
    assert len(facts) >= 8
    layer = 3
    made = key_covariances(real_model.model, corpus_runs(tokenizer, 2000), [layer])[layer]
    found = score_fact(run, tokenizer, facts[0], facts, layer, made, ValueSettings())
    assert (found.efficacy, found.top) == (1.0, 1.0)
    assert found.paraphrase == 1.0
    assert found.locality >= 0.75
