"""What a training goes on from: weights, moments and history, in one file."""

import json
import logging
import os
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

log = logging.getLogger(__name__)
STATE = "state.safetensors"


def write_checkpoint(
    params: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
    directory: Path,
) -> None:
    """Write weights, moments and history, which replace those of an earlier step at once.

    Args:
        params: the trainable ones, by name.
        optimizer: that has taken a step.
        history: of all steps so far.
        directory: is made where it is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, torch.Tensor] = {}
    for name, p in params.items():
        state = optimizer.state[p]
        # What no loss reads has no moments: the last block of a prefill but for its keys and values.
        none = torch.zeros_like(p.detach())
        tensors |= {
            f"p.{name}": p.detach(),
            f"m.{name}": state.get("exp_avg", none),
            f"v.{name}": state.get("exp_avg_sq", none),
        }
    part = directory / f"{STATE}.part"
    save_file(
        {k: t.contiguous().clone() for k, t in tensors.items()},
        part,
        metadata={"history": json.dumps(history)},
    )
    os.replace(part, directory / STATE)


def restore_checkpoint(
    params: dict[str, torch.nn.Parameter], optimizer: torch.optim.Optimizer, directory: Path
) -> list[dict[str, float]]:
    """Load weights, moments and history from one file, so that they can never disagree.

    Args:
        params: the trainable ones, by name; they are changed.
        optimizer: of these.
        directory: of the checkpoint.

    Returns:
        The history; empty where there is no checkpoint.
    """
    path = directory / STATE
    if not path.exists():
        return []
    with safe_open(path, "pt") as file:
        history = json.loads(file.metadata()["history"])
    tensors = load_file(path)
    for name, p in params.items():
        p.data.copy_(tensors[f"p.{name}"])
        optimizer.state[p] = {
            "step": torch.tensor(float(len(history))),
            "exp_avg": tensors[f"m.{name}"].clone(),
            "exp_avg_sq": tensors[f"v.{name}"].clone(),
        }
    log.info("training resumes at step %d", len(history))
    return history
