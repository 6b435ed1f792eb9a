"""Loading a vision-language model whole, and its pictures as its tower takes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from pkv_interp.cache.pictures import Picture, look, picture_token
from pkv_interp.errors import PkvError
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.checkpoint import check_directory
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.load import Opened, info_of, open_model, place, prepare
from pkv_interp.models.quiet import quiet
from pkv_interp.models.shipped import shipped_folder
from pkv_interp.models.spec import ModelInfo
from pkv_interp.paths import expanded
from pkv_interp.pictures.drawing import CLIP, HALVES, patches


@dataclass(frozen=True, eq=False)
class LoadedVision:
    """A vision-language model that is ready to read prompts with pictures.

    Attributes:
        model: the whole model, tower included, in eval mode.
        tokenizer: of the model.
        info: what a record says of it.
        config: what was asked for.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    info: ModelInfo
    config: ModelConfig

    def seen(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Pictures as the tower takes them; none is resized.

        Raises:
            PkvError: a side that is no multiple of a merged token's.
        """
        vision: Any = self.model.config.vision_config
        size, merge = int(vision.patch_size), int(vision.spatial_merge_size)
        scale = HALVES if "qwen3" in str(self.model.config.model_type) else CLIP
        for image in images:
            if any(side % (size * merge) for side in image.size):
                raise PkvError(
                    f"a picture of {image.width} x {image.height} pixels is not made of whole tokens",
                    f"use sides that are multiples of {size * merge}",
                )
        cut = [patches(image, size, merge, scale) for image in images]
        pixels = torch.from_numpy(np.concatenate([values for values, _ in cut]))
        return {"pixel_values": pixels, "image_grid_thw": torch.tensor([grid for _, grid in cut])}

    def look(self, images: Sequence[Image.Image]) -> tuple[Picture, ...]:
        """What the tower makes of pictures."""
        return self.look_at(self.seen(images))

    def look_at(self, seen: dict[str, Tensor]) -> tuple[Picture, ...]:
        """What the tower makes of pictures that were cut into patches."""
        return look(self.model, **seen)


def load_vision(config: ModelConfig) -> LoadedVision:
    """Load a whole vision-language model as its catalogue entry says.

    Raises:
        PkvError: as ``load``; a model without a vision tower whose pictures are cut into patches.
    """
    placement = place(config)
    match config.source:
        case "tiny":
            opened = open_model(config, placement)
        case "shipped" | "local":
            folder = (
                shipped_folder(str(config.path)) if config.source == "shipped" else expanded(str(config.path))
            )
            opened = _read(str(check_directory(str(folder))), placement.dtype, placement.attention, None)
        case "hub":
            opened = _read(str(config.hub_id), placement.dtype, placement.attention, config.revision)
        case _:
            raise PkvError(f"{config.name} has no vision tower", "use a vision-language model")
    return _ready(opened, config)


def load_trained(config: ModelConfig, folder: Path) -> LoadedVision:
    """What came of training a model of random weights, described as what was asked for and trained.

    Args:
        config: the entry of the untrained model.
        folder: of the trained weights.
    """
    placement = place(config)
    opened = _read(str(check_directory(str(folder))), placement.dtype, placement.attention, None)
    made = _ready(opened, config)
    return LoadedVision(
        made.model, made.tokenizer, made.info.model_copy(update={"random_weights": False}), config
    )


def _ready(opened: Opened, config: ModelConfig) -> LoadedVision:
    ready = prepare(opened, config, place(config))
    vision: Any = getattr(ready.model.config, "vision_config", None)
    if picture_token(ready.model) is None or not hasattr(vision, "spatial_merge_size"):
        raise PkvError(
            f"{config.name} has no vision tower that takes patches as Qwen's do",
            "use a Qwen2.5-VL or Qwen3-VL model",
        )
    return LoadedVision(ready.model, ready.tokenizer, info_of(ready, config, {}), config)


def _read(where: str, dtype: torch.dtype, attention: str | None, revision: str | None) -> Opened:
    options: dict[str, Any] = {"revision": revision} if revision is not None else {}
    with told_as_pkv_error(where, revision), quiet(warnings=False):
        model = AutoModelForImageTextToText.from_pretrained(
            where,
            dtype=dtype,
            attn_implementation=attention,
            use_safetensors=True,
            trust_remote_code=False,
            **options,
        )
        tokenizer = AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
    return Opened(model, tokenizer, revision)
