"""One step of the picture model's training: what is drawn, what is asked of it, and the gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import Qwen2_5_VLForConditionalGeneration

from pkv_interp.pictures.drawing import patches, picture
from pkv_interp.pictures.generators import GENERATORS
from pkv_interp.training.picture_cells import CellReader, cell_loss, cells, name_loss, order_loss, place_loss
from pkv_interp.training.picture_examples import Batch, Level, batch_of, examples
from pkv_interp.training.picture_schedule import PictureTraining
from pkv_interp.training.trainer import fast_bfloat16

#: Blocks of the text stack after which tokens are to tell where they are and which picture they are about,
#: and after which a word is to tell where the thing is that it names.
_BLOCKS, _NAMED = 2, 3


def word_vectors(model: Qwen2_5_VLForConditionalGeneration) -> Float[Tensor, "vocab d"]:
    """Embeddings of all words."""
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


def tower_step(
    model: Qwen2_5_VLForConditionalGeneration,
    reader: CellReader,
    rng: np.random.Generator,
    settings: PictureTraining,
) -> dict[str, float]:
    """Gradients of the tower on pictures of all generators.

    Args:
        model: in training; its gradients are added to.
        reader: reads the cells.
        rng: what is drawn from.
        settings: of the training.
    """
    generators = list(GENERATORS.values())
    scenes = [
        generators[int(at)].scene(rng, "train")
        for at in rng.integers(len(generators), size=settings.tower_batch)
    ]
    cut = [patches(picture(scene)) for scene in scenes]
    pixels = torch.from_numpy(np.concatenate([values for values, _ in cut]))
    with _half():
        seen = _seen(model, pixels, torch.tensor([grid for _, grid in cut]))
        loss, right = cell_loss(reader, torch.cat(seen.pooler_output), word_vectors(model), cells(scenes))
    loss.backward()
    return {"cell_loss": float(loss.detach()), "accuracy_cell": right}


def answer_step(
    model: Qwen2_5_VLForConditionalGeneration,
    reader: CellReader,
    rng: np.random.Generator,
    settings: PictureTraining,
    step: int,
) -> dict[str, float]:
    """Gradients on answers, and a little on what tokens tell beside them; of the tower as long as it learns.

    Args:
        model: in training; its gradients are added to.
        reader: reads what tokens tell.
        rng: what is drawn from.
        settings: of the training.
        step: says what is asked, and whether the tower learns.
    """
    drawn = examples(rng, settings.batch, level=settings.level(step))
    batch = batch_of(drawn)
    with _half():
        with torch.set_grad_enabled(settings.sees(step)):
            seen = _seen(model, batch.pixels, batch.grids)
        told = cells([scene for one in drawn for scene in one.scenes])
        cell, right = cell_loss(reader, torch.cat(seen.pooler_output), word_vectors(model), told)
        logits, streams = answer_logits(model, batch, seen)
        where = place_loss(reader, streams[_BLOCKS][batch.images.bool()], word_vectors(model), told)
        rows, at, cell_of = batch.named.T
        named, told_name = name_loss(reader, streams[_NAMED][rows, at], cell_of)
        rows, at, which = asked_of_pictures(batch, settings.level(step)).T
        ordered, told_order = order_loss(reader, streams[_BLOCKS][rows, at], word_vectors(model), which)
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
        **({"told_name": told_name} if len(cell_of) else {}),
        **({"told_order": told_order} if len(which) else {}),
        **{f"accuracy_{kind}": float(np.mean(found)) for kind, found in sorted(kinds.items())},
    }


def asked_of_pictures(batch: Batch, level: Level) -> Int[Tensor, "tokens 3"]:
    """Tokens that are to tell which of two pictures they are about: in the rounds words alone.

    Args:
        batch: of examples.
        level: of the step.

    Returns:
        Row, position and number of the picture.
    """
    rows, at, _ = batch.ordered.T
    return batch.ordered[batch.images[rows, at] == 0] if level == "hard" else batch.ordered


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
