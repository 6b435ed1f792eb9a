"""Rank-one edits: their algebra, effect and exact removal, on every tiny family with a plain MLP."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.weight_editing.covariance import Covariance, key_covariances
from pkv_interp.weight_editing.projections import down_projection, down_projections
from pkv_interp.weight_editing.rome import RankOneEdit, mean_key, rome_edit
from pkv_interp.weight_editing.statements import Statement, batches, statement
from pkv_interp.weight_editing.value import ValueSettings
from tests.families import FAMILIES, ids_of, tiny

PLAIN = tuple(family for family in FAMILIES if family != "gpt-oss")
LAYER, TARGET = 1, 400


def runner(family: str) -> Runner:
    return Runner.of(tiny(family, window=16).model)


def statements(family: str) -> list[Statement]:
    loaded = tiny(family, window=16)
    long = [Statement(tuple(ids_of(loaded, 30, seed)), 24, TARGET) for seed in (1, 2)]
    return [*long, Statement(tuple(ids_of(loaded, 5, 3)), 2, TARGET)]


def covariance(family: str) -> Covariance:
    loaded = tiny(family, window=16)
    return key_covariances(runner(family).model, [ids_of(loaded, 80, s) for s in (7, 8, 9)], [LAYER])[LAYER]


def edit(family: str, **settings: float) -> RankOneEdit:
    loaded = tiny(family, window=16)
    essence = Statement(tuple(ids_of(loaded, 8, 11)), 4, 0)
    return rome_edit(
        runner(family),
        LAYER,
        statements(family),
        covariance(family),
        essence=essence,
        settings=ValueSettings(**settings),  # type: ignore[arg-type]
    )


def probability(run: Runner, one: Statement) -> float:
    return float(run.prefill(one.ids).logits.softmax(-1)[one.target])


@pytest.mark.parametrize("family", PLAIN)
class TestEveryPlainFamily:
    def test_edited_map_sends_the_key_to_the_value_and_is_of_rank_one(self, family: str):
        made = edit(family)
        weight = down_projection(runner(family).model, LAYER).weight
        edited = weight + made.delta
        torch.testing.assert_close(edited @ made.key, made.value, atol=1e-4, rtol=1e-4)
        assert int(torch.linalg.matrix_rank(made.delta)) == 1
        assert float((weight @ made.key - made.value).norm()) > 1e-2

    def test_the_targets_become_likelier_and_the_weights_come_back_bit_for_bit(self, family: str):
        run = runner(family)
        before = {name: t.clone() for name, t in run.model.state_dict().items()}
        one = statements(family)[0]
        usual = probability(run, one)
        made = rome_edit(run, LAYER, [one], covariance(family))
        with made.applied(run.model):
            now = probability(run, one)
            assert not torch.equal(run.model.state_dict()[_name()], before[_name()])
        assert now > usual
        assert made.probability > usual
        for name, t in run.model.state_dict().items():
            assert torch.equal(t, before[name])

    def test_probability_is_that_of_a_forward_with_the_value_in_place(self, family: str):
        run = runner(family)
        made = edit(family)

        def put(_module: torch.nn.Module, _args: object, output: torch.Tensor, at: int) -> torch.Tensor:
            output[0, at] = made.value
            return output

        found = []
        for one in statements(family):
            handle = down_projection(run.model, LAYER).register_forward_hook(partial(put, at=one.at))
            found.append(probability(run, one))
            handle.remove()
        assert min(found) == pytest.approx(made.probability, rel=1e-3)

    def test_weights_come_back_when_the_block_fails(self, family: str):
        run = runner(family)
        weight = down_projection(run.model, LAYER).weight
        before = weight.clone()
        with pytest.raises(ValueError, match="inside"), edit(family, steps=1).applied(run.model):
            raise ValueError("inside")
        assert torch.equal(weight, before)

    def test_key_is_the_mean_input_at_the_subject(self, family: str):
        run = runner(family)
        module = down_projection(run.model, LAYER)
        seen: list[torch.Tensor] = []
        handle = module.register_forward_pre_hook(lambda _m, args: seen.append(args[0]))
        want = []
        for one in statements(family):
            run.model(input_ids=torch.tensor([list(one.ids)]))  # type: ignore[operator]
            want.append(seen[-1][0, one.at])
        handle.remove()
        got = mean_key(run.model, LAYER, statements(family))
        torch.testing.assert_close(got, torch.stack(want).mean(0), atol=1e-5, rtol=1e-5)

    def test_covariance_is_the_mean_outer_product_of_all_keys(self, family: str):
        run = runner(family)
        texts = [ids_of(tiny(family, window=16), n, n) for n in (13, 40)]
        got = key_covariances(run.model, texts, [0, LAYER])
        for layer, made in got.items():
            seen: list[torch.Tensor] = []
            handle = down_projection(run.model, layer).register_forward_pre_hook(partial(_keep, seen))
            for ids in texts:
                run.model(input_ids=torch.tensor([ids]))  # type: ignore[operator]
            handle.remove()
            keys = torch.cat(seen).double().numpy()
            want = np.einsum("ti,tj->ij", keys, keys) / len(keys)
            np.testing.assert_allclose(made.matrix.numpy(), want, atol=1e-5 * np.abs(want).max())
            assert made.n_tokens == 53

    def test_batches_give_what_plain_forwards_give(self, family: str):
        run = runner(family)
        chosen = statements(family)
        groups = batches(run, chosen)
        assert [len(group.targets) for group in groups] == [2, 1]
        got = torch.cat([group.log_probabilities().detach() for group in groups])
        for row, one in zip(got, chosen, strict=True):
            want = run.prefill(one.ids).logits.log_softmax(-1)
            torch.testing.assert_close(row, want, atol=1e-4, rtol=1e-4)


def _keep(seen: list[torch.Tensor], _module: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
    seen.append(args[0][0])


def _name() -> str:
    return f"model.layers.{LAYER}.mlp.down_proj.weight"


def test_solve_and_condition_against_numpy():
    keys = np.random.default_rng(0).normal(size=(40, 60))  # fewer keys than directions: singular
    made = Covariance(torch.tensor(keys.T @ keys / 40), 40, limit=1e3)
    ridged = made.matrix.numpy() + made.ridge * np.eye(60)
    assert np.linalg.cond(ridged) == pytest.approx(1e3, rel=1e-3)
    assert made.condition == pytest.approx(np.linalg.cond(ridged), rel=1e-3)
    assert made.bare_condition > 1e10
    key = torch.tensor(keys[0], dtype=torch.float32)
    want = np.linalg.solve(ridged, key.double().numpy())
    np.testing.assert_allclose(made.solve(key).numpy(), want, rtol=1e-8)


def test_a_covariance_that_is_well_conditioned_gets_no_ridge():
    made = Covariance(torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)), 3)
    assert made.ridge == 0.0
    assert made.condition == pytest.approx(4.0)


def test_the_edit_leaves_directions_alone_that_the_covariance_knows():
    """Of two keys with one overlap with the edited key, the one along frequent directions moves less."""
    covariance = Covariance(torch.diag(torch.tensor([100.0, 1.0, 1.0], dtype=torch.float64)), 10)
    key = torch.tensor([1.0, 1.0, 0.0])
    direction = covariance.solve(key)
    right = direction / (direction @ key.double())
    frequent, rare = torch.tensor([1.0, 0.0, 0.0]).double(), torch.tensor([0.0, 1.0, 0.0]).double()
    assert float(right @ frequent) < 0.05 * float(right @ rare)


def test_a_mixture_of_experts_is_refused_in_one_line():
    with pytest.raises(PkvError, match="no plain linear down projection"):
        down_projections(tiny("gpt-oss").model)


def test_a_statement_is_keyed_on_the_subject_and_targets_the_next_token():
    tokenizer: Any = tiny("llama").tokenizer
    one = statement(tokenizer, "The ", "order status", " is", "pending")
    text = tokenizer.decode(one.ids[: one.at + 1], skip_special_tokens=True)
    assert text.endswith("status")
    assert not text.endswith(" is")
    assert "pending".startswith(tokenizer.decode([one.target]).strip())


def test_bad_statements_and_layers_are_refused():
    with pytest.raises(PkvError, match="subject token 5"):
        Statement((1, 2), 5, 3)
    with pytest.raises(PkvError, match="out of range"):
        down_projection(tiny("llama").model, 9)
    with pytest.raises(PkvError, match="above 0"):
        ValueSettings(steps=0)
    with pytest.raises(PkvError, match="needs texts"):
        key_covariances(tiny("llama").model, [], [0])
