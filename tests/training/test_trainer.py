"""LoRA training on a tiny model: it learns, it resumes to the same numbers, its adapter loads."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter import merge_adapter
from pkv_interp.training import schedule
from pkv_interp.training.chat import Chat, sample_replies
from pkv_interp.training.examples import Example, Turn
from pkv_interp.training.losses import micro_batches, shared_batches, supervised_losses
from pkv_interp.training.schedule import Stage
from pkv_interp.training.tokens import TokenSequence, encode_chat, encode_example, pad
from pkv_interp.training.trainer import (
    TrainSettings,
    add_lora,
    learning_rate,
    train,
    write_adapter,
)
from tests.families import tiny

SETTINGS = TrainSettings(
    stages=(
        Stage(steps=3, lessons="listings", lr=(2e-2, 2e-2), batch=6),
        Stage(steps=9, lr=(2e-2, 2e-4), batch=6, chat=1, chat_weight=0.3),
    ),
    checkpoint_every=4,
    snapshot_every=6,
    warmup=2,
    base="a-model",
    bfloat16=False,
)


def examples(seed: int, step: int, size: int, *rest: object) -> list[Example]:
    """Examples in words of the tiny tokenizer: the answer is the action that the field's value names."""
    del seed, rest
    out = []
    for i in range(size):
        value = ("pending", "shipped")[(i + step) % 2]
        action = ("cancel", "deny")[(i + step) % 2]
        out.append(
            Example(
                "plain",
                "You handle orders for a web shop.",
                (Turn(f"order status: {value}", "Action:", action),),
                True,
            )
        )
    return out


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "batch", examples)
    monkeypatch.setattr(schedule, "lessons", examples)


def fresh() -> PeftModel:
    return add_lora(copy.deepcopy(tiny("llama").model), SETTINGS)


def replay() -> list[TokenSequence]:
    return [encode_chat(Chat("Session Policy", " Tools Answer with one word"), tiny("llama").tokenizer)]


def test_the_supervised_position_predicts_the_action() -> None:
    tokenizer = tiny("llama").tokenizer
    encoded = encode_example(examples(0, 0, 1)[0], tokenizer)
    words = [str(tokenizer.decode([encoded.ids[t + 1]])).strip() for t in encoded.targets]
    assert words == ["cancel"]
    assert encoded.answers == encoded.targets[:1]


def test_an_answer_of_several_tokens_is_refused() -> None:
    example = Example("plain", "system", (Turn("text", "Action:", "xylophonist"),), True)
    with pytest.raises(PkvError, match="'xylophonist' is not one token"):
        encode_example(example, tiny("llama").tokenizer)


def test_padding_changes_no_loss() -> None:
    model, tokenizer = tiny("llama").model, tiny("llama").tokenizer
    short = encode_example(examples(0, 0, 1)[0], tokenizer)
    long = encode_chat(Chat("Session Policy Tools " * 9, " Answer with one word"), tokenizer)
    together, _ = supervised_losses(model, [short, long], 0)
    alone = torch.cat([supervised_losses(model, [s], 0)[0] for s in (short, long)])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert pad([short, long], 7)[0, -1] == 7


def test_micro_batches_keep_every_sequence_within_the_budget() -> None:
    sequences = [TokenSequence(tuple(range(n)), (0,), (), "plain") for n in (5, 90, 7, 30, 31, 8)]
    groups = micro_batches(sequences, 64)
    assert sorted(len(s.ids) for g in groups for s in g) == [5, 7, 8, 30, 31, 90]
    assert all(len(g) * max(len(s.ids) for s in g) <= 64 or len(g) == 1 for g in groups)


def pairs_over_a_document() -> list[TokenSequence]:
    """Two endings over each of two documents, with a decision and a reply in between, and one alone."""
    tokenizer = tiny("llama").tokenizer
    long = "Session Policy Tools orders order status pending shipped cancel deny " * 12
    turns = {
        side: (
            Turn(f"{long} order status: {value}", "Action:", action),
            Turn("Session Policy", "Tools", None),
            Turn(f"order status: {other}", "Action:", reply),
        )
        for side, value, action, other, reply in (
            (0, "pending", "cancel", "shipped", "deny"),
            (1, "shipped", "deny", "pending", "cancel"),
        )
    }
    late = (*turns[0][:2], Turn("order status: pending", "Action:", "cancel"))
    told = [Example("several", "You handle orders.", t, True) for t in (*turns.values(), late)]
    return [
        *(encode_example(e, tokenizer) for e in told),
        encode_example(examples(0, 0, 1)[0], tokenizer),
    ]


@pytest.mark.parametrize("name", ["llama", "gemma3", "qwen3"])
def test_a_shared_beginning_runs_once_and_changes_neither_losses_nor_gradients(name: str) -> None:
    sequences = pairs_over_a_document()
    groups = shared_batches(sequences, 4096)
    shared = {len(group): length for length, group in groups}
    assert sum(len(group) for _, group in groups) == len(sequences)
    assert shared[1] == 0
    # All three share the document, and not the decision that follows it.
    assert 100 < shared[3] < min(s.targets[0] for s in sequences[:3]) + 1
    model = add_lora(copy.deepcopy(tiny(name).model), SETTINGS)
    for parameter_name, parameter in model.named_parameters():
        if "lora_B" in parameter_name:  # zero at the start, and then no gradient reaches the other factor
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
    found = []
    for once in (True, False):
        model.zero_grad()
        parts = groups if once else [(0, [s]) for _, group in groups for s in group]
        losses = torch.cat([supervised_losses(model, group, 0, length)[0] for length, group in parts])
        losses.sum().backward()
        gradients = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        found.append((losses.detach(), gradients))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-4, rtol=1e-4)
    assert len(found[0][1]) == len(found[1][1]) > 10
    for key, gradient in found[0][1].items():
        torch.testing.assert_close(gradient, found[1][1][key], atol=1e-4, rtol=1e-3, msg=key)


def test_shared_groups_keep_within_the_budget_and_lose_no_sequence() -> None:
    start = tuple(range(100))
    sequences = [TokenSequence((*start, 200 + n, *range(n)), (101,), (), "plain") for n in range(5, 25)]
    groups = shared_batches(sequences, 400)
    assert sorted(len(s.ids) for _, g in groups for s in g) == [len(s.ids) for s in sequences]
    assert max(len(g) for _, g in groups) > 5
    for shared, group in groups:
        assert shared + len(group) * (max(len(s.ids) for s in group) - shared) <= 400
        assert len({s.ids[:shared] for s in group}) == 1


def test_a_turn_without_an_answer_is_not_learnt_from() -> None:
    tokenizer = tiny("llama").tokenizer
    turns = (
        Turn("order status: pending", "Tools", None),
        Turn("Session Policy", "Action:", "cancel"),
    )
    for chat in (True, False):
        encoded = encode_example(Example("plain", "You handle orders.", turns, chat), tokenizer)
        assert len(encoded.targets) == 1
        assert str(tokenizer.decode([encoded.ids[encoded.targets[0] + 1]])).strip() == "cancel"
        assert "Tools" in str(tokenizer.decode(list(encoded.ids)))


def test_the_learning_rate_warms_up_and_decays() -> None:
    rates = [learning_rate(step, SETTINGS) for step in range(SETTINGS.steps)]
    assert rates[0] == pytest.approx(1e-2)
    assert rates[1] == max(rates) == pytest.approx(2e-2)
    assert rates[-1] == pytest.approx(2e-4)
    assert all(a >= b for a, b in zip(rates[1:], rates[2:], strict=False))


@pytest.mark.usefixtures("stream")
def test_training_learns_and_resumes_to_the_same_weights(tmp_path: Path) -> None:
    tokenizer = tiny("llama").tokenizer
    whole = fresh()
    history = train(whole, tokenizer, replay(), SETTINGS, tmp_path / "whole")
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]

    class Stop(Exception):
        pass

    def stop(step: int, values: dict[str, float]) -> None:
        del values
        if step == 9:
            raise Stop

    with pytest.raises(Stop):
        train(fresh(), tokenizer, replay(), SETTINGS, tmp_path / "halves", stop)
    resumed = fresh()
    steps: list[int] = []
    again = train(
        resumed, tokenizer, replay(), SETTINGS, tmp_path / "halves", lambda step, _: steps.append(step)
    )
    assert steps[0] == 8  # the last checkpoint, not the start
    assert [h["loss"] for h in again] == pytest.approx([h["loss"] for h in history], rel=1e-4)
    for (name, a), (_, b) in zip(whole.named_parameters(), resumed.named_parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.usefixtures("stream")
def test_a_checkpoint_of_another_schedule_is_refused_and_one_of_its_beginning_is_not(tmp_path: Path) -> None:
    tokenizer = tiny("llama").tokenizer
    short = replace(SETTINGS, stages=(Stage(steps=1, lr=(1e-3, 1e-3), batch=2),))
    train(fresh(), tokenizer, [], short, tmp_path)
    for other in (
        replace(short, seed=1),
        replace(short, stages=(Stage(steps=1, lr=(1e-3, 1e-4), batch=2),)),
        replace(short, stages=(Stage(steps=1, lr=(1e-3, 1e-3), batch=2, mix={"late": 1.0}),)),
    ):
        with pytest.raises(PkvError, match="is of another schedule"):
            train(fresh(), tokenizer, [], other, tmp_path)
    longer = replace(short, stages=(*short.stages, Stage(steps=1, lr=(1e-3, 1e-3), batch=2)))
    assert len(train(fresh(), tokenizer, [], longer, tmp_path)) == 2


@pytest.mark.usefixtures("stream")
def test_the_written_adapter_gives_the_trained_logits(tmp_path: Path) -> None:
    loaded = tiny("llama")
    model = fresh()
    train(model, loaded.tokenizer, [], SETTINGS, tmp_path)
    write_adapter(model, SETTINGS, tmp_path / "adapter")
    named = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert named["base_model_name_or_path"] == "a-model"
    merged, _ = merge_adapter(copy.deepcopy(loaded.model), tmp_path / "adapter")
    ids = torch.tensor([list(range(300, 320))])
    with torch.no_grad():
        trained, base = model(input_ids=ids).logits, loaded.model(input_ids=ids).logits
        torch.testing.assert_close(merged(input_ids=ids).logits, trained, atol=2e-2, rtol=2e-2)
    assert (trained - base).abs().max() > 0.1
    assert {p.name for p in (tmp_path).glob("step-*")} == {"step-00006", "step-00012"}


def test_a_base_model_replays_plain_continuations() -> None:
    loaded = tiny("gemma3")
    tokenizer = copy.deepcopy(loaded.tokenizer)
    tokenizer.chat_template = None
    messages = ["Explain tea.", "Why do people care about tea?"]
    chats = sample_replies(loaded.model, tokenizer, messages, max_new_tokens=6)
    assert [c.prompt for c in chats] == [f"{m}\n" for m in messages]
    for one in chats:
        encoded = encode_chat(one, tokenizer)
        assert encoded.ids[0] == tokenizer.bos_token_id
        assert encoded.ids[-1] != tokenizer.eos_token_id
        assert str(tokenizer.decode(list(encoded.ids[encoded.targets[0] + 1 :]))).strip() == one.reply.strip()


def test_a_chat_model_replays_turns_that_end() -> None:
    loaded = tiny("llama")
    (one,) = sample_replies(loaded.model, loaded.tokenizer, ["Explain tea."], max_new_tokens=6)
    assert one.prompt.startswith(str(loaded.tokenizer.bos_token))
    encoded = encode_chat(one, loaded.tokenizer)
    assert sum(i == loaded.tokenizer.bos_token_id for i in encoded.ids) == 1
    assert encoded.ids[-1] == loaded.tokenizer.eos_token_id
    assert encoded.targets[-1] == len(encoded.ids) - 2
