"""LoRA edits: they do what they are trained for, and leave no trace."""

from __future__ import annotations

import pytest
import torch

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.weight_editing.lora import LoraSettings, lora_edit
from pkv_interp.weight_editing.statements import Statement
from tests.families import FAMILIES, ids_of, tiny

PLAIN = tuple(family for family in FAMILIES if family != "gpt-oss")


@pytest.mark.parametrize("family", PLAIN)
def test_the_target_becomes_likelier_and_the_model_comes_back_bit_for_bit(family: str):
    loaded = tiny(family, window=16)
    run = Runner.of(loaded.model)
    one, two = (Statement(tuple(ids_of(loaded, n, n)), 2, 400) for n in (20, 9))
    weights = {name: t.clone() for name, t in loaded.model.state_dict().items()}
    modules = dict(loaded.model.named_modules())
    grads = {name: p.requires_grad for name, p in loaded.model.named_parameters()}
    before = run.prefill(one.ids).logits

    settings = LoraSettings(steps=6, rate=3e-3)
    with lora_edit(loaded.model, [one, two], lambda: False, settings) as trained:
        inside = run.prefill(one.ids).logits
    assert (trained.steps, trained.flipped) == (6, False)
    assert inside.log_softmax(-1)[400] > before.log_softmax(-1)[400] + 0.1

    assert {name: id(m) for name, m in loaded.model.named_modules()} == {n: id(m) for n, m in modules.items()}
    after = loaded.model.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], t) for name, t in weights.items())
    assert grads == {name: p.requires_grad for name, p in loaded.model.named_parameters()}
    assert torch.equal(run.prefill(one.ids).logits, before)


def test_training_stops_at_the_first_look_that_sees_the_flip():
    loaded = tiny("llama")
    looks: list[int] = []

    def flipped() -> bool:
        looks.append(len(looks))
        return len(looks) == 2

    one = Statement(tuple(ids_of(loaded, 9, 0)), 2, 400)
    with lora_edit(loaded.model, [one], flipped, LoraSettings(steps=20, check_every=3)) as trained:
        assert (trained.steps, trained.flipped) == (6, True)
    assert len(looks) == 2


def test_a_first_step_moves_the_targets_as_the_gradient_of_their_mean_loss_says():
    """Two statements of one shape or of two shapes train alike: the loss is their mean."""
    loaded = tiny("llama")
    a, b, c = (Statement(tuple(ids_of(loaded, n, s)), 2, 400) for n, s in ((9, 0), (9, 1), (12, 2)))
    found = []
    for chosen in ([a, b, c], [c, b, a]):
        with lora_edit(loaded.model, chosen, lambda: False, LoraSettings(steps=2)):
            found.append(Runner.of(loaded.model).prefill(a.ids).logits)
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_the_model_comes_back_when_the_block_fails():
    loaded = tiny("qwen3")
    modules = {name: id(m) for name, m in loaded.model.named_modules()}
    one = Statement(tuple(ids_of(loaded, 9, 0)), 2, 400)
    with (
        pytest.raises(ValueError, match="inside"),
        lora_edit(loaded.model, [one], lambda: True, LoraSettings(steps=2)),
    ):
        raise ValueError("inside")
    assert {name: id(m) for name, m in loaded.model.named_modules()} == modules


def test_nothing_to_train_on_a_mixture_of_experts_and_bad_settings_are_refused():
    with pytest.raises(PkvError, match="no statement"), lora_edit(tiny("llama").model, [], lambda: True):
        pass
    one = Statement((400, 401), 0, 402)
    with (
        pytest.raises(PkvError, match="no plain linear"),
        lora_edit(tiny("gpt-oss").model, [one], lambda: True),
    ):
        pass
    with pytest.raises(PkvError, match="above 0"):
        LoraSettings(rank=0)
