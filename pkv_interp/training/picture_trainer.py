"""Training of the picture model: its tower first, on what is in each cell, then all of it on answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
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
from pkv_interp.streams import stream
from pkv_interp.training.checkpoint import restore_checkpoint, write_checkpoint
from pkv_interp.training.picture_cells import CellReader, cell_loss, cells, name_loss, order_loss, place_loss
from pkv_interp.training.picture_examples import Batch, Level, batch_of, examples
from pkv_interp.training.trainer import fast_bfloat16

#: Blocks of the text stack after which tokens are to tell where they are and which picture they are about,
#: and after which a word is to tell where the thing is that it names.
_BLOCKS, _NAMED = 2, 3
#: Opens the names of the tower's parameters.
_TOWER = "model.model.visual."


@dataclass(frozen=True)
class PictureTraining:
    """Settings of one training.

    Attributes:
        tower_steps: steps in which the tower alone learns what is in each cell.
        simple_steps: of the steps after them, those that ask about one thing at a time, without prefaces; the
            tower learns until they end, and is left as it is from then on.
        steps: steps after the tower's, on answers.
        again_steps: steps after these, which ask more of what is hard; the rate rises to half of its height
            and falls once more.
        tower_batch: pictures of a step of the tower.
        batch: prompts of a step on answers.
        lr: learning rate at its highest; it falls as a cosine over the steps on answers.
        cell_weight: of the tower's own loss beside that of the answers.
        place_weight: of what the text stack's first blocks tell of each cell, beside that of the answers.
        name_weight: of what words tell of the things that they name, beside that of the answers, once the
            simple steps have ended: asked from the start, it keeps words from finding what they name.
        order_weight: of what tokens tell of which picture they are about, from then on as well.
        checkpoint_every: steps between checkpoints.
        seed: of initial weights and of everything that is drawn.
    """

    tower_steps: int = 500
    simple_steps: int = 800
    steps: int = 2600
    again_steps: int = 0
    tower_batch: int = 64
    batch: int = 32
    lr: float = 1.5e-3
    cell_weight: float = 0.1
    place_weight: float = 0.2
    name_weight: float = 0.3
    order_weight: float = 0.3
    checkpoint_every: int = 50
    seed: int = 0

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.tower_steps + self.steps + self.again_steps

    def sees(self, step: int) -> bool:
        """Whether the tower learns in a step; its backward takes half of a step's time."""
        return step < self.tower_steps + self.simple_steps

    def level(self, step: int) -> Level:
        """Which questions a step asks."""
        if self.sees(step):
            return "simple"
        return "all" if step < self.tower_steps + self.steps else "hard"

    def facts(self) -> dict[str, Any]:
        """What the weights after a step depend on, as JSON holds it."""
        late = ("checkpoint_every", "again_steps")
        kept = {name: value for name, value in asdict(self).items() if name not in late}
        # A finished training may be gone on with, as the stages of any other schedule may.
        return {**kept, "stages": [self.again_steps] if self.again_steps else []}

    def rate(self, step: int) -> float:
        """The learning rate of a step: a short rise at the start of each part, and the cosine."""
        if step < self.tower_steps:
            return self.lr * min(1.0, (step + 1) / 20)
        at, steps, height = step - self.tower_steps, self.steps, 1.0
        if at >= steps:
            at, steps, height = at - steps, self.again_steps, 0.5
        fall = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * at / steps))
        return height * self.lr * min(1.0, (at + 1) / 50) * fall


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
        reader = CellReader(int(_words(model).shape[1]))
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
            values = _answer_step(model, reader, rng, settings, step)
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


def _words(model: Qwen2_5_VLForConditionalGeneration) -> Float[Tensor, "vocab d"]:
    embedding: Any = model.get_input_embeddings()
    return embedding.weight


def _seen(
    model: Qwen2_5_VLForConditionalGeneration, pixels: Float[Tensor, "n p"], grids: Int[Tensor, "m 3"]
) -> Any:
    core: Any = model.model
    return core.get_image_features(pixels, grids)


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
        seen = _seen(model, pixels, torch.tensor([grid for _, grid in cut]))
        loss, right = cell_loss(reader, torch.cat(seen.pooler_output), _words(model), cells(scenes))
    loss.backward()
    return {"cell_loss": float(loss.detach()), "accuracy_cell": right}


def _answer_step(
    model: Qwen2_5_VLForConditionalGeneration,
    reader: CellReader,
    rng: np.random.Generator,
    settings: PictureTraining,
    step: int,
) -> dict[str, float]:
    """Gradients of the whole model on answers, and a little on the cells."""
    drawn = examples(rng, settings.batch, level=settings.level(step))
    batch = batch_of(drawn)
    with _half():
        with torch.set_grad_enabled(settings.sees(step)):
            seen = _seen(model, batch.pixels, batch.grids)
        told = cells([scene for one in drawn for scene in one.scenes])
        cell, right = cell_loss(reader, torch.cat(seen.pooler_output), _words(model), told)
        logits, streams = answer_logits(model, batch, seen)
        where = place_loss(reader, streams[_BLOCKS][batch.images.bool()], _words(model), told)
        rows, at, cell_of = batch.named.T
        named, found = name_loss(reader, streams[_NAMED][rows, at], cell_of)
        rows, at, which = batch.ordered.T
        ordered, told_apart = order_loss(reader, streams[_BLOCKS][rows, at], _words(model), which)
    loss = nn.functional.cross_entropy(logits, batch.answers)
    weighted = (
        (settings.cell_weight, cell),
        (settings.place_weight, where),
        *(() if settings.sees(step) else ((settings.name_weight, named), (settings.order_weight, ordered))),
    )
    sum((weight * one for weight, one in weighted), loss).backward()
    kinds: dict[str, list[bool]] = {}
    for kind, good in zip(batch.kinds, (logits.argmax(-1) == batch.answers).tolist(), strict=True):
        kinds.setdefault(kind, []).append(good)
    return {
        "loss": float(loss.detach()),
        "cell_loss": float(cell.detach()),
        "place_loss": float(where.detach()),
        "name_loss": float(named.detach()),
        "order_loss": float(ordered.detach()),
        "accuracy_cell": right,
        "told_name": found,
        "told_order": told_apart,
        **{f"accuracy_{kind}": float(np.mean(found)) for kind, found in sorted(kinds.items())},
    }


def answer_logits(
    model: Qwen2_5_VLForConditionalGeneration, batch: Batch, seen: Any
) -> tuple[Float[Tensor, "targets vocab"], tuple[Float[Tensor, "rows tokens d"], ...]]:
    """Logits where answers follow, in float32, and the residual stream after every block.

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
    return model.lm_head(out[0][batch.rows, batch.targets]).float(), out.hidden_states
