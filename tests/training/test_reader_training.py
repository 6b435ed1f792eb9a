"""Training on replaced columns: what a reader sees is what an edit in place leaves, and what it learns."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from pkv_interp.cache.compute import Runner
from pkv_interp.errors import PkvError
from pkv_interp.training import vocabulary
from pkv_interp.training.courses import Active, Reader
from pkv_interp.training.reader_course import draw_replaced, reader_course
from pkv_interp.training.replaced_losses import ReplacedLosses, ReplacedSequence, replaced_batches
from pkv_interp.training.schedule import Stage
from pkv_interp.training.starting import start_from
from pkv_interp.training.tokens import TokenSequence
from pkv_interp.training.trainer import TrainSettings, add_lora, train, write_adapter
from tests.families import ids_of, tiny

STAGES = (Stage(steps=10, lessons="rules", lr=(2e-2, 2e-2), batch=4, mix={"plain": 0.5, "late": 0.5}),)
SETTINGS = TrainSettings(
    stages=STAGES, rank=4, alpha=4, warmup=1, checkpoint_every=3, snapshot_every=8, base="a", bfloat16=False
)


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Words of the tiny tokenizer alone, so that pairs are found at once and there is something to learn."""
    monkeypatch.setattr(vocabulary, "ACTIONS", ("cancel", "deny"))
    monkeypatch.setattr(vocabulary, "VALUES", (("pending", "shipped"), ("gold", "silver")))


def prompts(family: str) -> list[ReplacedSequence]:
    """Three prompts of different lengths: one untouched, two with columns of another one."""
    loaded, out = tiny(family), []
    for number, (length, where) in enumerate(((22, ()), (30, (5, 6)), (26, (9,)))):
        ids = tuple(ids_of(loaded, length, number))
        other = tuple(ids_of(loaded, length, number + 10))
        donor = tuple(o if at in where else i for at, (i, o) in enumerate(zip(ids[:-1], other, strict=False)))
        out.append(
            ReplacedSequence(
                ids, (length - 2,), (length - 2,), "edited", length - 8, donor if where else None, where
            )
        )
    return out


def noisy(family: str, size: float = 0.2) -> Any:
    model = add_lora(copy.deepcopy(tiny(family).model), SETTINGS)
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = size * torch.randn(parameter.shape, generator=generator)
    return model.eval()


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2"])
@pytest.mark.parametrize("active", ["decision", "question", "all"])
def test_what_is_decided_is_what_the_cache_with_replaced_columns_decides(family: str, active: Any) -> None:
    """Against the editing side: a prefill, columns put in by FrozenCache.replace, the rest run after it."""
    bare, group = tiny(family).model, prompts(family)
    model = add_lora(copy.deepcopy(bare), SETTINGS).eval()  # a fresh adapter changes nothing
    losses, _ = ReplacedLosses(active, bare)(model, [*group], 0)
    run = Runner.of(bare)
    for one, loss in zip(group, losses, strict=True):
        start = one.begins_at(active)
        cache = run.prefill(one.ids[:start]).cache
        if one.donor is not None:
            cache = cache.replace(one.replaced, run.prefill(one.donor[:start]).cache)
        logits = run.extend(cache, one.ids[start : one.targets[0] + 1]).logits
        want = -logits.log_softmax(-1)[one.ids[one.targets[0] + 1]]
        assert float(loss) == pytest.approx(float(want), abs=1e-4)
        if one.donor is not None:
            plain = run.prefill(one.ids[: one.targets[0] + 1]).logits
            assert (plain - logits).abs().max() > 1e-4


def test_the_adapter_acts_where_it_is_to_act_alone() -> None:
    bare, group, model = tiny("llama").model, prompts("llama"), noisy("llama")
    found = {active: ReplacedLosses(active, bare)(model, [*group], 0)[0] for active in get_args(Active)}
    assert (found["decision"] - found["question"]).abs().max() > 1e-2
    assert (found["question"] - found["all"]).abs().max() > 1e-2
    run, changed = Runner.of(bare), Runner.of(model.get_base_model())
    one = group[1]
    assert one.donor is not None
    cache = run.prefill(one.ids[: one.end]).cache.replace(
        one.replaced, run.prefill(one.donor[: one.end]).cache
    )
    logits = changed.extend(cache, one.ids[one.end : one.targets[0] + 1]).logits
    assert float(found["question"][1]) == pytest.approx(
        float(-logits.log_softmax(-1)[one.ids[one.targets[0] + 1]]), abs=1e-4
    )


def test_gradients_reach_the_prefill_where_the_adapter_acts_there_and_nowhere_else() -> None:
    bare, group = tiny("llama").model, prompts("llama")

    def size(active: Any) -> float:
        model = noisy("llama")
        ReplacedLosses(active, bare)(model, [*group], 0)[0].sum().backward()
        name = "layers.0.self_attn.v_proj.lora_A"
        return float(
            sum(p.grad.abs().sum() for n, p in model.named_parameters() if name in n and p.grad is not None)
        )

    assert 0.0 < size("decision") < size("question") < size("all")


class TestDraws:
    def drawn(self, done: str, pairs: int = 6) -> list[list[ReplacedSequence]]:
        shares = dict.fromkeys(("edited", "clean", "refreshed", "bystander", "random"), 0.0) | {done: 1.0}
        course = Reader.model_validate(shares)
        # Lessons have few other fields; whole prompts have room after the field.
        stage = Stage(steps=1, lr=(1e-3, 1e-3), batch=2)
        return [
            draw_replaced(course, stage, (0, 0, pair), 0.0, 4, tiny("llama").tokenizer)
            for pair in range(pairs)
        ]

    @pytest.mark.parametrize("done", ["edited", "random"])
    def test_another_value_asks_for_the_other_answer(self, done: str):
        for one, two in self.drawn(done):
            assert one.donor == two.ids[:-1]
            assert two.donor == one.ids[:-1]
            changed = [at for at, (a, b) in enumerate(zip(one.ids[:-1], two.ids[:-1], strict=True)) if a != b]
            if done == "edited":
                assert set(changed) <= set(one.replaced)
            else:
                assert not set(changed) & set(one.replaced)
                assert max(one.replaced) < one.end
            assert one.ids[-1] != two.ids[-1]
            # The answer of the donor's value: what the other prompt asks for untouched.
            assert all(x.kind == done for x in (one, two))

    def test_the_answer_of_an_edit_is_the_other_prompts_own(self):
        edited, clean = self.drawn("edited"), self.drawn("clean")
        for (one, two), (plain, other) in zip(edited, clean, strict=True):
            assert (one.ids[:-1], two.ids[:-1]) == (plain.ids[:-1], other.ids[:-1])
            assert (one.ids[-1], two.ids[-1]) == (other.ids[-1], plain.ids[-1])
            assert plain.donor is None

    def test_refreshed_and_bystanders_keep_the_answer(self):
        for done in ("refreshed", "bystander"):
            for one, two in self.drawn(done):
                assert one.ids[-1] != two.ids[-1]
                assert one.donor is not None
                changed = {
                    at for at, (a, b) in enumerate(zip(one.ids[:-1], one.donor, strict=True)) if a != b
                }
                assert changed <= set(one.replaced)
                assert bool(changed) is (done == "bystander")

    def test_shares_must_be_whole(self):
        with pytest.raises(ValueError, match="sum to 0.9"):
            Reader(edited=0.3)

    def test_chats_are_run_apart(self):
        chat = TokenSequence(tuple(ids_of(tiny("llama"), 20, 3)), (10,), (), "chat")
        groups = replaced_batches([prompts("llama")[0], chat, *prompts("llama")], 4096)
        assert [{type(one) for one in group} for group in groups] == [{ReplacedSequence}, {TokenSequence}]
        with pytest.raises(PkvError, match="share a forward"):
            ReplacedLosses("all")(tiny("llama").model, [prompts("llama")[0], chat], 0)


@pytest.mark.parametrize("active", ["question", "all"])
def test_it_learns_and_resumes_to_the_same_weights(active: Any, tmp_path: Path) -> None:
    loaded, course = tiny("llama"), Reader(active=active)

    def run(place: Path, stop: int | None = None) -> Any:
        def progress(step: int, values: dict[str, float]) -> None:
            del values
            if step == stop:
                raise KeyboardInterrupt

        model = add_lora(copy.deepcopy(loaded.model), SETTINGS)
        made = reader_course(course, STAGES, 0, 4, loaded.tokenizer, ReplacedLosses(active, loaded.model))
        return model, train(model, loaded.tokenizer, [], SETTINGS, place, progress, made)

    whole, history = run(tmp_path / "whole")
    assert history[-1]["loss"] < history[0]["loss"]
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "halves", 4)
    resumed, again = run(tmp_path / "halves")
    assert [one["loss"] for one in again] == pytest.approx([one["loss"] for one in history], rel=1e-4)
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=name)


def test_training_starts_from_an_adapter_of_its_rank(tmp_path: Path) -> None:
    write_adapter(noisy("llama"), SETTINGS, tmp_path)
    model = add_lora(copy.deepcopy(tiny("llama").model), SETTINGS)
    start_from(model, tmp_path, SETTINGS)
    want = dict(noisy("llama").named_parameters())
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.testing.assert_close(parameter, want[name], atol=1e-3, rtol=1e-3, msg=name)
            assert parameter.requires_grad
    with pytest.raises(PkvError, match="has rank 4 and alpha 4"):
        start_from(model, tmp_path, replace(SETTINGS, rank=8))
