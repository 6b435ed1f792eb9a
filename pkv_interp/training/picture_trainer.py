"""Training of the picture model: its tower first, on what is in each cell, then all of it on answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from transformers import Qwen2_5_VLForConditionalGeneration

from pkv_interp.streams import stream
from pkv_interp.training.checkpoint import restore_checkpoint, write_checkpoint
from pkv_interp.training.picture_cells import CellReader
from pkv_interp.training.picture_schedule import PictureTraining
from pkv_interp.training.picture_steps import answer_step, tower_step, word_vectors

#: Opens the names of the tower's parameters.
_TOWER = "model.model.visual."


def train_pictures(
    model: Qwen2_5_VLForConditionalGeneration,
    settings: PictureTraining,
    directory: Path,
    progress: Callable[[int, Mapping[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Run (or resume) the training on a CPU; the model's weights are changed.

    Args:
        model: in float32, as ``new_picture_model`` gives it.
        settings: sizes, rate and seed.
        directory: holds the checkpoint; a run that finds one goes on from it with the same pictures.
        progress: called after each step.

    Returns:
        Per step its losses and the share of right answers of each kind.

    Raises:
        PkvError: the checkpoint is of other settings.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 1)
        reader = CellReader(int(word_vectors(model).shape[1]))
    named = [("model", model), ("reader", reader)]
    params = {f"{part}.{name}": p for part, m in named for name, p in m.named_parameters()}
    optimizer = torch.optim.AdamW(
        params.values(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    history = restore_checkpoint(params, optimizer, settings.facts(), directory)
    model.train()
    kept = str(model.config._attn_implementation)
    # Of so few tokens the backward of the plain form takes a third of the fused kernel's time on a CPU.
    model.set_attn_implementation("eager")
    for step in range(len(history), settings.total):
        for group in optimizer.param_groups:
            group["lr"] = settings.rate(step)
        optimizer.zero_grad()
        rng = stream(settings.seed, "pictures", step)
        if step < settings.tower_steps:
            values = tower_step(model, reader, rng, settings)
        else:
            values = answer_step(model, reader, rng, settings, step)
        for name, parameter in params.items():
            # All that learn take the same number of steps, so that a resumed training is the same training.
            if parameter.grad is None and (settings.sees(step) or not name.startswith(_TOWER)):
                parameter.grad = torch.zeros_like(parameter)
        nn.utils.clip_grad_norm_(params.values(), 1.0)
        optimizer.step()
        history.append(values)
        if progress is not None:
            progress(step, values)
        if len(history) % settings.checkpoint_every == 0 or len(history) == settings.total:
            write_checkpoint(params, optimizer, history, settings.facts(), directory)
    model.set_attn_implementation(kept)
    model.eval().requires_grad_(False)
    return history
