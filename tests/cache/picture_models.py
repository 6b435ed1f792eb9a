"""Tiny vision-language models with random weights, pictures for them, and their own forward as the twin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LlamaConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.cache_utils import DynamicCache

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.pictures import Picture, look

MODELS = ("qwen2.5-vl", "qwen3-vl", "smolvlm")
IMAGE, VIDEO, START, END = 5, 6, 3, 4
#: Rows and columns of patches of the two pictures, and tokens of each.
GRIDS = ((4, 6), (8, 4))
_TEXT: dict[str, Any] = {
    "vocab_size": 400,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
_MARKS: dict[str, Any] = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": START,
    "vision_end_token_id": END,
}


@dataclass(frozen=True, eq=False)
class Seen:
    """Two pictures: what the processor would give, and the tokens that stand for each."""

    given: dict[str, Tensor]
    counts: tuple[int, int]


@cache
def model_of(name: str) -> PreTrainedModel:
    """A model that other tests have used, too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return _built(name).float().eval().requires_grad_(False)


def _built(name: str) -> Any:
    if name == "qwen2.5-vl":
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 64,
        }
        vision |= {"patch_size": 4, "window_size": 16, "fullatt_block_indexes": [1]}
        return Qwen2_5_VLForConditionalGeneration(
            Qwen2_5_VLConfig(text_config=_TEXT | {"rope_parameters": _ROPE}, vision_config=vision, **_MARKS)
        )
    if name == "qwen3-vl":
        vision = {
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 64,
        }
        vision |= {"patch_size": 4, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
        text = _TEXT | {"head_dim": 16, "rope_parameters": _ROPE | {"mrope_interleaved": True}}
        return Qwen3VLForConditionalGeneration(
            Qwen3VLConfig(text_config=text, vision_config=vision, **_MARKS)
        )
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision |= {"image_size": 16, "patch_size": 4}
    text = LlamaConfig(**_TEXT)
    return SmolVLMForConditionalGeneration(
        SmolVLMConfig(text_config=text, vision_config=vision, image_token_id=IMAGE, scale_factor=2)
    )


@cache
def seen_by(name: str) -> Seen:
    """Two pictures of random pixels."""
    drawn = torch.Generator().manual_seed(1)
    if name == "smolvlm":
        return Seen({"pixel_values": torch.randn(1, 2, 3, 16, 16, generator=drawn)}, (4, 4))
    patches = sum(rows * columns for rows, columns in GRIDS)
    grid = torch.tensor([[1, rows, columns] for rows, columns in GRIDS])
    pixels = torch.randn(patches, 3 * 2 * 4 * 4, generator=drawn)
    counts = [rows * columns // 4 for rows, columns in GRIDS]
    return Seen({"pixel_values": pixels, "image_grid_thw": grid}, (counts[0], counts[1]))


@cache
def pictures_of(name: str) -> tuple[Picture, ...]:
    """What the tower makes of them, one after the other."""
    found = look(model_of(name), **seen_by(name).given)
    if name != "smolvlm":
        return found
    # A tower that numbers its tokens as text is gives all pictures of a prompt in one piece.
    (whole,) = found
    return (Picture(whole.tokens[:4]), Picture(whole.tokens[4:]))


def shown(name: str, which: int) -> list[int]:
    """The tokens of a picture in a text."""
    return [START, *[IMAGE] * seen_by(name).counts[which], END]


def words(n: int, seed: int = 0) -> list[int]:
    """Text."""
    drawn = torch.Generator().manual_seed(seed)
    return torch.randint(20, 400, (n,), generator=drawn).tolist()


@torch.no_grad()
def own(name: str, ids: list[int], hidden: Tensor | None = None) -> tuple[FrozenCache, Tensor]:
    """The model's own forward over a prompt with both pictures: cache, and logits after the last token.

    Args:
        name: of the model.
        ids: with the tokens of both pictures, in order.
        hidden: Bool[T, T], columns that a token is not to see beyond the causal mask.
    """
    model: Any = model_of(name)
    given: dict[str, Any] = dict(seen_by(name).given)
    tokens = torch.tensor([ids])
    if name != "smolvlm":
        given["mm_token_type_ids"] = (tokens == IMAGE).int()
        # A mask of four dimensions says nothing of the length, so positions are made first.
        given["position_ids"] = model.model.get_rope_index(
            tokens, given["mm_token_type_ids"], image_grid_thw=given["image_grid_thw"]
        )[0]
    if hidden is not None:
        n = len(ids)
        unseen = torch.ones(n, n).triu(1).bool() | hidden
        given["attention_mask"] = torch.zeros(n, n).masked_fill(unseen, float("-inf"))[None, None]
    grown = DynamicCache()
    out = model(input_ids=tokens, past_key_values=grown, use_cache=True, **given)
    return FrozenCache.of(grown), out.logits[0, -1].float()


def close(one: FrozenCache, two: FrozenCache, atol: float = 2e-5) -> None:
    """Equal keys and values."""
    for mine, theirs in zip((*one.keys, *one.values), (*two.keys, *two.values), strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)
