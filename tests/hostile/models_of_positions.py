"""Tiny models by rope type, and whole vision models: what tests of positions run on."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    CLIPVisionConfig,
    DynamicCache,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    SiglipVisionConfig,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.cache import FrozenCache

#: Longest context with the first frequencies, for dynamic NTK and longrope.
BOUNDARY = 100
#: More than the tiny tokenizers have; the last ones stand for images.
VOCABULARY = 2000
IMAGE, VISION_START, VISION_END, VIDEO = 1990, 1991, 1992, 1993


def ropes(boundary: int = BOUNDARY) -> dict[str, dict[str, Any]]:
    """Rope types; those that follow the length of the context change past ``boundary`` tokens."""
    original = {"original_max_position_embeddings": boundary}
    factors = {
        "short_factor": [1.0 + 0.1 * i for i in range(8)],
        "long_factor": [2.0 + 0.3 * i for i in range(8)],
    }
    llama3 = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0, "factor": 8.0}
    return {
        "default": {"rope_type": "default"},
        "linear": {"rope_type": "linear", "factor": 4.0},
        "dynamic": {"rope_type": "dynamic", "factor": 4.0},
        "llama3": llama3 | original,
        "yarn": {"rope_type": "yarn", "factor": 4.0} | original,
        "longrope": {"rope_type": "longrope"} | factors | original,
        "proportional": {"rope_type": "proportional", "partial_rotary_factor": 0.5},
        "partial": {"rope_type": "default", "partial_rotary_factor": 0.5},
    }


ROPES = tuple(ropes())
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 4 * BOUNDARY,
    "initializer_range": 0.15,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def fresh(kind: str, model_type: str = "llama", boundary: int = BOUNDARY, **special: Any) -> PreTrainedModel:
    """A model object that has seen no prompt; equal arguments give equal weights."""
    rope: dict[str, Any] = {"rope_theta": 1e4, **ropes(boundary)[kind]}
    if model_type == "gemma3_text":  # one rotation per kind of layer
        rope = {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": 1e3}}
        special = {"sliding_window": 16, "sliding_window_pattern": 3, "query_pre_attn_scalar": 16} | special
        special |= {"num_hidden_layers": 6}
    elif model_type == "smollm3":
        special = {"no_rope_layers": [1, 0, 1]} | special
    if kind == "dynamic":
        special = {"max_position_embeddings": boundary} | special
    shape: dict[str, Any] = SHAPE | {"rope_parameters": rope} | special
    config = CONFIG_MAPPING[model_type](**shape)
    return _made(lambda: AutoModelForCausalLM.from_config(config, dtype=torch.float32))


@cache
def roped(kind: str, model_type: str = "llama", boundary: int = BOUNDARY) -> PreTrainedModel:
    """A shared model object; it has seen what other tests ran on it."""
    return fresh(kind, model_type, boundary)


@cache
def whole(name: str) -> PreTrainedModel:
    """A vision model with its language model: "llava", "gemma3" or "qwen2.5-vl"."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    sight: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    sight |= {"image_size": 16, "patch_size": 8}
    if name == "llava":
        config: Any = LlavaConfig(
            text_config=LlamaConfig(**SHAPE),
            vision_config=CLIPVisionConfig(**sight, projection_dim=32),
            image_token_index=VOCABULARY - 1,
        )
        return _made(lambda: LlavaForConditionalGeneration(config))
    if name == "gemma3":
        text: dict[str, Any] = SHAPE | {"num_hidden_layers": 6, "query_pre_attn_scalar": 16}
        text |= {"sliding_window": 16, "sliding_window_pattern": 3}
        config = Gemma3Config(
            text_config=Gemma3TextConfig(**text),
            vision_config=SiglipVisionConfig(**sight),
            mm_tokens_per_image=4,
            image_token_index=VOCABULARY - 1,
        )
        return _made(lambda: Gemma3ForConditionalGeneration(config))
    rope = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}
    shape = {key: value for key, value in SHAPE.items() if key != "head_dim"}
    vision = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64}
    vision |= {"patch_size": 4, "spatial_merge_size": 2, "window_size": 16, "fullatt_block_indexes": [0]}
    config = Qwen2_5_VLConfig(
        text_config=shape | {"rope_parameters": rope},
        vision_config=vision,
        image_token_id=IMAGE,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
        video_token_id=VIDEO,
    )
    return _made(lambda: Qwen2_5_VLForConditionalGeneration(config))


def _made(build: Any) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().float().eval().requires_grad_(False)


def words(n: int, seed: int = 0) -> list[int]:
    """Random ids past the special tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(300, 1900, (n,), generator=generator).tolist()


@torch.no_grad()
def plain(
    model: PreTrainedModel, ids: Sequence[int], start: int = 0, over: FrozenCache | None = None
) -> tuple[FrozenCache, Tensor]:
    """One forward of transformers' own: cache, and logits after the last token.

    Args:
        model: as fresh from loading, where it can remember a prompt.
        ids: all tokens, or those after a cache.
        start: position of the first.
        over: a cache of what stands before.
    """
    grown, forward = DynamicCache() if over is None else over.view(), model
    places = torch.arange(start, start + len(ids))[None]
    out: Any = forward(  # type: ignore[operator]
        input_ids=torch.tensor([list(ids)]), position_ids=places, past_key_values=grown, use_cache=True
    )
    return FrozenCache.of(grown), out.logits[0, -1].float()


def close(one: FrozenCache, two: FrozenCache, atol: float = 1e-4) -> None:
    """Equal keys and values."""
    for mine, theirs in zip((*one.keys, *one.values), (*two.keys, *two.values), strict=True):
        torch.testing.assert_close(mine, theirs, atol=atol, rtol=0)
