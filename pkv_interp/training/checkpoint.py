"""What a training goes on from: weights, moments and history, in one file."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pkv_interp.errors import PkvError

log = logging.getLogger(__name__)
STATE = "state.safetensors"


def write_checkpoint(
    params: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    history: list[dict[str, float]],
    facts: Mapping[str, Any],
    directory: Path,
) -> None:
    """Write weights, moments and history, which replace those of an earlier step at once.

    Args:
        params: the trainable ones, by name.
        optimizer: that has taken a step.
        history: of all steps so far.
        facts: what the weights after a step depend on, the schedule among them.
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
        metadata={"history": json.dumps(history), "facts": json.dumps(facts)},
    )
    os.replace(part, directory / STATE)


def restore_checkpoint(
    params: dict[str, torch.nn.Parameter],
    optimizer: torch.optim.Optimizer,
    facts: Mapping[str, Any],
    directory: Path,
) -> list[dict[str, float]]:
    """Load weights, moments and history from one file, so that they can never disagree.

    Args:
        params: the trainable ones, by name; they are changed.
        optimizer: of these.
        facts: those of the training that is to go on; stages may have been added to the end of a schedule.
        directory: of the checkpoint.

    Returns:
        The history; empty where there is no checkpoint.

    Raises:
        PkvError: the checkpoint is of another schedule.
    """
    path = directory / STATE
    if not path.exists():
        return []
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    history, before = json.loads(metadata["history"]), json.loads(metadata.get("facts", "{}"))
    now = {**facts, "stages": facts["stages"][: len(before.get("stages", []))]}
    if before != now:
        raise PkvError(
            f"the checkpoint in {directory} is of another schedule",
            "name another folder for this one, or delete that folder",
        )
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
