"""Training of the picture model: its tower first, on what is in each cell, then all of it on answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from pkv_interp.pictures.drawing import patches, picture
from pkv_interp.pictures.generators import GENERATORS
from pkv_interp.pictures.scenes import SIDE, Scene
from pkv_interp.pictures.words import COLOURS, NUMBERS, SHAPES
from pkv_interp.streams import stream
from pkv_interp.training.checkpoint import restore_checkpoint, write_checkpoint
from pkv_interp.training.picture_examples import Batch, batch_of, examples
from pkv_interp.training.trainer import fast_bfloat16

#: Classes that a cell is told by: shape or nothing, colour or nothing, large or not.
_CLASSES = (len(SHAPES) + 1, len(COLOURS) + 1, 2)
#: What the first blocks of the text stack are to tell at each picture token: row, column, things so far.
_PLACED = (SIDE, SIDE, len(NUMBERS))
_BLOCKS = 2
#: Most cells are empty, which is soon learned.
_EMPTY = 0.2


@dataclass(frozen=True)
class PictureTraining:
    """Settings of one training.

    Attributes:
        tower_steps: steps in which the tower alone learns what is in each cell.
        steps: steps after them, on answers.
        tower_batch: pictures of a step of the tower.
        batch: prompts of a step on answers.
        lr: learning rate at its highest; it falls as a cosine over the steps on answers.
        cell_weight: of the tower's own loss beside that of the answers.
        place_weight: of what the text stack's first blocks tell of each cell, beside that of the answers.
        checkpoint_every: steps between checkpoints.
        seed: of initial weights and of everything that is drawn.
    """

    tower_steps: int = 500
    steps: int = 3000
    tower_batch: int = 64
    batch: int = 32
    lr: float = 1.5e-3
    cell_weight: float = 0.1
    place_weight: float = 0.2
    checkpoint_every: int = 50
    seed: int = 0

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.tower_steps + self.steps

    def facts(self) -> dict[str, Any]:
        """What the weights after a step depend on, as JSON holds it."""
        kept = {name: value for name, value in asdict(self).items() if name != "checkpoint_every"}
        return {**kept, "stages": []}

    def rate(self, step: int) -> float:
        """The learning rate of a step: a short rise at the start of both parts, and the cosine."""
        if step < self.tower_steps:
            return self.lr * min(1.0, (step + 1) / 20)
        at = step - self.tower_steps
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at / self.steps))
        return self.lr * min(1.0, (at + 1) / 50) * fall


class CellReader(nn.Module):
    """What a picture token says of its cell; used in training, and left out of the model.

    Args:
        d_model: width of the tower's output.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.told = nn.Linear(d_model, sum(_CLASSES))
        self.placed = nn.Linear(d_model, sum(_PLACED))

    def forward(self, tokens: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits of shape, colour and size of each cell, from what the tower makes of it."""
        return self.told(tokens).float().split(_CLASSES, dim=-1)

    def places(self, hidden: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n _"], ...]:
        """Logits of row, column and things so far, from the text stack after its first blocks."""
        return self.placed(hidden).float().split(_PLACED, dim=-1)


def cells(scenes: Sequence[Scene]) -> Int[Tensor, "n 3"]:
    """Classes of every cell of all pictures, in the order of the tower's tokens."""
    told = torch.zeros(len(scenes), SIDE * SIDE, 3, dtype=torch.long)
    for at, scene in enumerate(scenes):
        for thing in scene.things:
            told[at, thing.cell] = torch.tensor(
                (1 + SHAPES.index(thing.shape), 1 + COLOURS.index(thing.colour), int(thing.large))
            )
    return told.view(-1, 3)


def cell_loss(
    reader: CellReader, tokens: Float[Tensor, "n d"], told: Int[Tensor, "n 3"]
) -> tuple[Float[Tensor, ""], float]:
    """Cross-entropy of what the cells hold, and the share of things whose shape and colour are read."""
    total, right = tokens.new_zeros(()).float(), told[:, 0] > 0
    things = int(right.sum())
    for at, logits in enumerate(reader(tokens)):
        weight = torch.ones(logits.shape[-1])
        if at < 2:
            weight[0] = _EMPTY
            right = right & (logits.argmax(-1) == told[:, at])
        total = total + nn.functional.cross_entropy(logits, told[:, at], weight=weight)
    return total, int(right.sum()) / max(1, things)


def place_loss(
    reader: CellReader, hidden: Float[Tensor, "n d"], told: Int[Tensor, "n 3"]
) -> Float[Tensor, ""]:
    """Cross-entropy of where each cell is, and of how many things there are up to it in reading order."""
    cell = torch.arange(SIDE * SIDE).repeat(len(told) // SIDE**2)
    so_far = (told[:, 0] > 0).view(-1, SIDE * SIDE).cumsum(1).view(-1)
    wanted = (cell // SIDE, cell % SIDE, so_far)
    losses = [
        nn.functional.cross_entropy(logits, right)
        for logits, right in zip(reader.places(hidden), wanted, strict=True)
    ]
    return torch.stack(losses).sum()


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
        reader = CellReader(int(model.config.text_config.hidden_size))
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
            values = _tower_step(model, reader, rng, settings)
        else:
            values = _answer_step(model, reader, rng, settings)
        for parameter in params.values():
            # All take the same number of steps, so that a resumed training is the same training.
            if parameter.grad is None:
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


def _half() -> torch.autocast:
    cpu = torch.device("cpu")
    return torch.autocast("cpu", torch.bfloat16, enabled=fast_bfloat16(cpu))


def _tower_step(
    model: Qwen2_5_VLForConditionalGeneration,
    reader: CellReader,
    rng: np.random.Generator,
    settings: PictureTraining,
) -> dict[str, float]:
    """Gradients of the tower on pictures of all generators."""
    generators = list(GENERATORS.values())
    scenes = [
        generators[int(at)].scene(rng, "train")
        for at in rng.integers(len(generators), size=settings.tower_batch)
    ]
    cut = [patches(picture(scene)) for scene in scenes]
    pixels = torch.from_numpy(np.concatenate([values for values, _ in cut]))
    with _half():
        seen: Any = model.model.get_image_features(pixels, torch.tensor([grid for _, grid in cut]))
        loss, right = cell_loss(reader, torch.cat(seen.pooler_output), cells(scenes))
    loss.backward()
    return {"cell_loss": float(loss.detach()), "accuracy_cell": right}


def _answer_step(
    model: Qwen2_5_VLForConditionalGeneration,
    reader: CellReader,
    rng: np.random.Generator,
    settings: PictureTraining,
) -> dict[str, float]:
    """Gradients of the whole model on answers, and a little on the cells."""
    drawn = examples(rng, settings.batch)
    batch = batch_of(drawn)
    with _half():
        seen: Any = model.model.get_image_features(batch.pixels, batch.grids)
        told = cells([scene for one in drawn for scene in one.scenes])
        cell, right = cell_loss(reader, torch.cat(seen.pooler_output), told)
        logits, early = answer_logits(model, batch, seen)
        where = place_loss(reader, early[batch.images.bool()], told)
    loss = nn.functional.cross_entropy(logits, batch.answers)
    (loss + settings.cell_weight * cell + settings.place_weight * where).backward()
    kinds: dict[str, list[bool]] = {}
    for kind, good in zip(batch.kinds, (logits.argmax(-1) == batch.answers).tolist(), strict=True):
        kinds.setdefault(kind, []).append(good)
    return {
        "loss": float(loss.detach()),
        "cell_loss": float(cell.detach()),
        "place_loss": float(where.detach()),
        "accuracy_cell": right,
        **{f"accuracy_{kind}": float(np.mean(found)) for kind, found in sorted(kinds.items())},
    }


def answer_logits(
    model: Qwen2_5_VLForConditionalGeneration, batch: Batch, seen: Any
) -> tuple[Float[Tensor, "targets vocab"], Float[Tensor, "rows tokens d"]]:
    """Logits where answers follow, in float32, and the residual stream after the first blocks.

    Args:
        model: in training or not.
        batch: of examples.
        seen: what the tower makes of their pictures.
    """
    out = model.model(
        input_ids=batch.ids,
        mm_encoder_outputs={"image": seen},
        image_grid_thw=batch.grids,
        mm_token_type_ids=batch.images,
        use_cache=False,
        output_hidden_states=True,
    )
    return model.lm_head(out[0][batch.rows, batch.targets]).float(), out.hidden_states[_BLOCKS]
