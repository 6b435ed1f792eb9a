"""A LoRA in one part of a prompt alone, against two plain forwards with the adapter merged or not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers.cache_utils import DynamicCache

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import merge_adapter
from pkv_interp.training.curricula import CURRICULA, Pool
from pkv_interp.training.schedule import Stage
from pkv_interp.training.split import ROLES, Role, SplitLosses
from pkv_interp.training.tokens import TokenSequence
from pkv_interp.training.trainer import Course, TrainSettings, add_lora, train, write_adapter
from tests.families import ids_of, tiny

STAGES = (Stage(steps=8, lessons="rules", lr=(2e-2, 2e-2), batch=4),)
SETTINGS = TrainSettings(
    stages=STAGES, rank=4, warmup=1, checkpoint_every=3, snapshot_every=8, base="a", bfloat16=False
)


def sequences(family: str) -> list[TokenSequence]:
    """Prompts of different lengths with one answer each, some tokens of the reply after it."""
    out = []
    for seed, length in enumerate((9, 14, 11)):
        ids = ids_of(tiny(family), length + 3, seed)
        out.append(TokenSequence(tuple(ids), (length,), (length,), "plain"))
    return out


def adapted(family: str) -> PeftModel:
    """A model with an adapter that does something: the second matrix starts from zero."""
    model = add_lora(copy.deepcopy(tiny(family).model), SETTINGS)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def by_hand(writer: Any, reader: Any, sequence: TokenSequence) -> torch.Tensor:
    """The loss of one sequence: one model runs the prefix, the other the decision token over its cache."""
    at = sequence.targets[0]
    cache = DynamicCache()
    writer(input_ids=torch.tensor([sequence.ids[:at]]), past_key_values=cache, use_cache=True)
    out = reader(input_ids=torch.tensor([[sequence.ids[at]]]), past_key_values=cache, use_cache=True)
    return -out.logits[0, -1].float().log_softmax(-1)[sequence.ids[at + 1]]


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
def test_each_part_is_run_with_its_own_weights(family: str, tmp_path: Path) -> None:
    model, group = adapted(family), sequences(family)
    write_adapter(model, SETTINGS, tmp_path)
    bare = tiny(family).model
    # The adapter's file is float16: both routes start from what it holds.
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.to(torch.float16).float()
    merged, _ = merge_adapter(copy.deepcopy(bare), tmp_path)
    parts = {"reader": (bare, merged), "writer": (merged, bare), "both": (merged, merged)}
    found = {}
    for role in ROLES:
        losses, _ = SplitLosses(role)(model, group, fill=0)
        with torch.no_grad():
            expected = torch.stack([by_hand(*parts[role], one) for one in group])
        torch.testing.assert_close(losses.detach(), expected, atol=1e-4, rtol=1e-4)
        found[role] = losses.detach()
    assert (found["reader"] - found["writer"]).abs().max() > 1e-2
    assert (found["reader"] - found["both"]).abs().max() > 1e-2


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
def test_a_reader_over_kept_caches_has_the_gradients_of_prompts_that_are_run_one_by_one(family: str) -> None:
    model, group = adapted(family), sequences(family)
    plain: list[torch.Tensor] = []
    for one in group:
        at, cache = one.targets[0], DynamicCache()
        with torch.no_grad(), model.disable_adapter():
            model(input_ids=torch.tensor([one.ids[:at]]), past_key_values=cache, use_cache=True)
        out = model(input_ids=torch.tensor([[one.ids[at]]]), past_key_values=cache, use_cache=True)
        plain.append(-out.logits[0, -1].float().log_softmax(-1)[one.ids[at + 1]])
    torch.stack(plain).sum().backward()
    expected = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert sum(float(g.abs().sum()) for g in expected.values() if g is not None) > 0
    losses = SplitLosses("reader")
    for _ in range(2):  # made, then kept
        model.zero_grad(set_to_none=True)
        found, _ = losses(model, group, fill=0)
        found.sum().backward()
        torch.testing.assert_close(found.detach(), torch.stack(plain).detach(), atol=1e-5, rtol=1e-5)
        found_gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
        for name, gradient in expected.items():
            ours = found_gradients[name]
            assert gradient is not None, name
            assert ours is not None, name
            # Of each matrix's largest entry: sums over rows are rounded in another order.
            off = float((ours - gradient).abs().max() / gradient.abs().max().clamp(min=1e-3))
            assert off < 1e-5, (name, off, float(gradient.abs().max()))


def test_gradients_are_those_of_the_active_part_alone() -> None:
    model, group = adapted("llama"), sequences("llama")
    last = "model.layers.1.mlp.down_proj"
    gradients = {}
    for role in ROLES:
        model.zero_grad()
        SplitLosses(role)(model, group, fill=0)[0].sum().backward()
        gradients[role] = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    layers = tiny("llama").spec.n_layers
    last = f"layers.{layers - 1}.mlp.down_proj.lora_B"

    def size(role: Role, part: str) -> float:
        found = [g for n, g in gradients[role].items() if part in n and g is not None]
        return float(sum(g.abs().sum() for g in found))

    # What the last block's MLP writes at earlier tokens is read by no one.
    assert size("writer", last) == 0.0
    assert size("reader", last) > 0.0
    assert size("writer", "layers.0.mlp.down_proj.lora_B") > 0.0
    # Of keys and values the decision token's own column alone is the reader's.
    assert 0.0 < size("reader", "v_proj.lora_B") != size("both", "v_proj.lora_B")


def test_the_kept_caches_of_a_reader_are_the_untouched_models_and_are_made_once() -> None:
    model, group = adapted("llama"), sequences("llama")
    losses = SplitLosses("reader")
    first, _ = losses(model, group[:2], fill=0)
    ((prefixes, columns),) = losses.kept.items()
    before = [part.clone() for layer in columns for part in layer]
    again, _ = losses(model, group[:2], fill=0)
    assert losses.kept[prefixes] is columns
    torch.testing.assert_close(again, first, atol=0, rtol=0)
    other, _ = losses(model, list(reversed(group)), fill=0)
    assert len(losses.kept) == 2
    torch.testing.assert_close(other.flip(0)[:2], first, atol=1e-5, rtol=1e-5)
    after = [part for layer in columns for part in layer]
    assert all(torch.equal(one, two) for one, two in zip(before, after, strict=True))
    assert not any(part.requires_grad for part in after)


def test_a_sequence_with_two_answers_is_refused() -> None:
    twice = TokenSequence(tuple(range(300, 312)), (5, 8), (5, 8), "update")
    with pytest.raises(PkvError, match="2 supervised positions"):
        SplitLosses("reader")(adapted("llama"), [twice], fill=0)


def test_a_prompt_longer_than_a_window_is_refused() -> None:
    model = add_lora(copy.deepcopy(tiny("mistral", window=8).model), SETTINGS)
    with pytest.raises(PkvError, match="window of 8"):
        SplitLosses("reader")(model, sequences("mistral"), fill=0)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_learns_and_resumes_to_the_same_weights(role: Role, tmp_path: Path) -> None:
    tokenizer = tiny("llama").tokenizer
    pool = Pool(STAGES, 1, 2, tokenizer)

    def run(place: Path, stop: int | None = None) -> tuple[PeftModel, list[dict[str, float]]]:
        model = add_lora(copy.deepcopy(tiny("llama").model), SETTINGS)

        def progress(step: int, values: dict[str, float]) -> None:
            del values
            if step == stop:
                raise KeyboardInterrupt

        course = Course(lambda step: pool.batch("early", 0, step), SplitLosses(role))
        return model, train(model, tokenizer, [], SETTINGS, place, progress, course)

    whole, history = run(tmp_path / "whole")
    assert history[-1]["loss"] < history[0]["loss"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "halves", 4)
    resumed, again = run(tmp_path / "halves")
    assert [h["loss"] for h in again] == pytest.approx([h["loss"] for h in history], rel=1e-4)
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=name)


def test_curricula_differ_in_the_place_of_the_field_alone() -> None:
    tokenizer = tiny("llama").tokenizer
    stages = (Stage(steps=6, lessons="rules", lr=(1e-3, 1e-3), batch=2),)
    pool = Pool(stages, 2, 2, tokenizer)
    kinds = {name: {one.kind for step in range(2) for one in pool.batch(name, 0, step)} for name in CURRICULA}
    assert kinds == {"early": {"plain"}, "late": {"late"}, "mixed": {"plain", "late"}}
    early, late = (sorted(len(one.ids) for one in pool.batch(name, 0, 0)) for name in ("early", "late"))
    assert early == late


def test_seeds_share_the_pool_in_another_order_and_pairs_stay_whole() -> None:
    tokenizer = tiny("llama").tokenizer
    stages = (Stage(steps=9, lessons="rules", lr=(1e-3, 1e-3), batch=2),)
    pool = Pool(stages, 3, 2, tokenizer)
    orders = [[pool.batch("mixed", seed, step) for step in range(9)] for seed in range(3)]
    # What was drawn is kept: a pool that is new to a batch draws the same.
    assert [Pool(stages, 3, 2, tokenizer).batch("mixed", 2, step) for step in range(3)] == orders[2][:3]
    assert len(pool.drawn) == 3
    sets = [{one.ids for batch in order for one in batch} for order in orders]
    assert sets[0] == sets[1] == sets[2]
    assert len(sets[0]) == 6
    assert orders[0] != orders[1] or orders[0] != orders[2]
    for first, second in orders[0]:
        answers = {one.ids[one.targets[0] + 1] for one in (first, second)}
        assert len(answers) == 2
