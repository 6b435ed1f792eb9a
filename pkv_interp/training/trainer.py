"""LoRA training of the gate adapter: cross-entropy on the answers to rules, and replay of ordinary chat."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from pkv_interp.training.checkpoint import restore_checkpoint, write_checkpoint
from pkv_interp.training.losses import Losses, micro_batches, shared_batches, supervised_losses
from pkv_interp.training.schedule import Stage, at, check
from pkv_interp.training.tokens import TokenSequence, encode_example

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one training run.

    Attributes:
        stages: what each step trains on and how fast.
        token_budget: padded tokens a micro-batch may hold; a longer sequence is one of its own.
        warmup: steps over which the learning rate rises to the schedule's.
        longest: neutral sentences of the longest documents; 90 make about 1,000 tokens.
        snapshot_every: steps between adapters that are kept for the mechanism-by-step table.
        base: name of the model that is trained, for the adapter's config.
        bfloat16: run matrix products in bfloat16; None: where that is faster.
    """

    stages: tuple[Stage, ...]
    token_budget: int = 2048
    rank: int = 16
    alpha: int = 16
    warmup: int = 20
    longest: int = 90
    checkpoint_every: int = 25
    snapshot_every: int = 100
    base: str = ""
    bfloat16: bool | None = None
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def facts(self) -> dict[str, Any]:
        """What the weights after a step depend on, as JSON holds it."""
        kept = ("rank", "alpha", "warmup", "longest", "base", "seed")
        stages = [stage.model_dump(mode="json") for stage in self.stages]
        return {"stages": stages, **{name: getattr(self, name) for name in kept}}


def add_lora(model: Any, settings: TrainSettings, soft: Sequence[int] = ()) -> PeftModel:
    """Wrap the model with a fresh adapter on all seven projections; initial values are seeded.

    Args:
        model: without an adapter.
        settings: rank, alpha and seed.
        soft: tokens whose embeddings are trained, and then nothing else is.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules=list(PROJECTIONS),
            task_type="CAUSAL_LM",
            trainable_token_indices=list(soft) or None,
        )
        wrapped = get_peft_model(model, config)
    assert isinstance(wrapped, PeftModel)
    if soft:
        for name, parameter in wrapped.named_parameters():
            parameter.requires_grad_("trainable_tokens" in name)
    return wrapped


def learning_rate(step: int, settings: TrainSettings) -> float:
    """The schedule's rate, times a linear warm-up at the start of the run."""
    stage, progress = at(settings.stages, step)
    return stage.learning_rate(progress) * min(1.0, (step + 1) / settings.warmup)


@dataclass(frozen=True)
class Course:
    """What a training learns from, where it is not the gate's schedule.

    Attributes:
        batches: encoded examples of each step.
        losses: of them.
        groups: the forwards of a step, given its sequences and a budget of tokens.
        facts: what the weights after a step depend on beside the settings, as JSON holds it.
    """

    batches: Callable[[int], list[TokenSequence]]
    losses: Losses
    groups: Callable[[list[TokenSequence], int], list[list[TokenSequence]]] = micro_batches
    facts: Mapping[str, Any] = field(default_factory=dict)


def fast_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 are faster than in float32: on a GPU, on some CPUs.

    Measured on a two-core AVX-512 CPU with neither AMX nor AVX512-BF16: 132 against 264 GFLOP/s; on one core
    with AVX512-BF16: 101 against 45.
    """
    if device.type == "cpu":
        return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return device.type == "cuda"


def runs_half(settings: TrainSettings, device: torch.device) -> bool:
    """Whether a training on this device runs its matrix products in bfloat16."""
    return fast_bfloat16(device) if settings.bfloat16 is None else settings.bfloat16


def _step(
    model: PeftModel,
    sequences: list[TokenSequence],
    settings: TrainSettings,
    chat_weight: float,
    fill: int,
    course: Course | None,
) -> dict[str, float]:
    n_gate = sum(len(s.targets) for s in sequences if s.kind != "chat")
    n_chat = max(1, sum(len(s.targets) for s in sequences if s.kind == "chat"))
    right: dict[str, list[bool]] = {}
    total, chat_total = 0.0, 0.0
    device = torch.device(model.device)
    half = runs_half(settings, device)
    if course is None:
        groups = shared_batches(sequences, settings.token_budget)
    else:
        groups = [(0, group) for group in course.groups(sequences, settings.token_budget)]
    for shared, group in groups:
        weights = torch.tensor(
            [chat_weight / n_chat if s.kind == "chat" else 1.0 / n_gate for s in group for _ in s.targets],
            device=device,
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            if course is None:
                losses, correct = supervised_losses(model, group, fill, shared)
            else:
                losses, correct = course.losses(model, group, fill)
        loss = (losses * weights).sum()
        loss.backward()
        total += float(loss.detach())
        at = 0
        for s in group:
            for t in s.targets:
                if (told := s.told_as(t)) is not None:
                    right.setdefault(told, []).append(bool(correct[at]))
                if s.kind == "chat":
                    chat_total += float(losses[at].detach()) / n_chat
                at += 1
    return {
        "loss": total,
        "chat_loss": chat_total,
        **{f"accuracy_{k}": float(np.mean(v)) for k, v in right.items()},
    }


def train(
    model: PeftModel,
    tokenizer: Any,
    replay: list[TokenSequence],
    settings: TrainSettings,
    directory: Path,
    progress: Callable[[int, dict[str, float]], None] | None = None,
    course: Course | None = None,
) -> list[dict[str, float]]:
    """Run (or resume) the training.

    Args:
        model: its trainable parameters are changed.
        tokenizer: of the model.
        replay: encoded chats, drawn from in a seeded order.
        settings: stages, sizes and seed.
        directory: holds the checkpoint; a run that finds one continues from it with the same data stream.
        progress: called after each step.
        course: other examples than the schedule's, and other losses than the whole model's with its adapter.

    Returns:
        One dict of losses and accuracies per step.

    Raises:
        PkvError: the schedule cannot run, or the checkpoint is of another one.
    """
    params = {n: p for n, p in model.named_parameters() if p.requires_grad}
    check(settings.stages)
    optimizer = torch.optim.AdamW(
        params.values(),
        lr=learning_rate(0, settings),
        weight_decay=0.0,
        betas=(0.9, 0.99),
        # On a CPU the other forms take each of some hundred small matrices through a dozen operations.
        fused=model.device.type == "cpu",
    )
    facts = settings.facts() | ({"course": dict(course.facts)} if course and course.facts else {})
    history = restore_checkpoint(params, optimizer, facts, directory)
    fill = int(tokenizer.eos_token_id or 0)
    model.train()
    for step in range(len(history), settings.steps):
        stage, progressed = at(settings.stages, step)
        if course is None:
            examples = stage.examples(settings.seed, step, progressed, settings.longest)
            sequences = [encode_example(e, tokenizer) for e in examples]
        else:
            sequences = course.batches(step)
        if replay and stage.chat:
            rng = np.random.default_rng([settings.seed, step, 1])
            sequences += [replay[int(i)] for i in rng.integers(len(replay), size=stage.chat)]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, settings)
        optimizer.zero_grad(set_to_none=True)
        values = _step(model, sequences, settings, stage.chat_weight, fill, course)
        torch.nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        history.append(values)
        if progress is not None:
            progress(step, values)
        if (step + 1) % settings.checkpoint_every == 0 or step + 1 == settings.steps:
            write_checkpoint(params, optimizer, history, facts, directory)
        if (step + 1) % settings.snapshot_every == 0 or step + 1 == settings.steps:
            write_adapter(model, settings, snapshot_path(directory, step + 1))
    model.eval()
    return history


def snapshot_path(directory: Path, step: int) -> Path:
    """Path of the adapter after ``step`` steps."""
    return directory / f"step-{step:05d}"


def write_adapter(model: PeftModel, settings: TrainSettings, directory: Path) -> None:
    """Write the adapter as peft does, in float16, without the path of the base model.

    Args:
        model: with the trained adapter.
        settings: rank, alpha and the name of the base model.
        directory: is made where it is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    weights = {
        name: t.detach().to(torch.float16).contiguous().cpu()
        for name, t in get_peft_model_state_dict(model).items()
    }
    part = directory / "adapter_model.safetensors.part"
    save_file(weights, part, metadata={"format": "pt"})
    os.replace(part, directory / "adapter_model.safetensors")
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "target_modules": list(PROJECTIONS),
        "lora_dropout": 0.0,
        "bias": "none",
        "inference_mode": True,
        "base_model_name_or_path": settings.base,
    }
    soft = model.peft_config["default"].to_dict().get("trainable_token_indices")
    if soft:
        config["trainable_token_indices"] = soft
    (directory / "adapter_config.json").write_text(json.dumps(config, indent=1) + "\n")
