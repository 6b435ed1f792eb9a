"""A vision-language model of a published shape with random weights, on which time is measured."""

from __future__ import annotations

import torch
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.load import Opened, info_of, place, prepare
from pkv_interp.models.load_vision import LoadedVision
from pkv_interp.pictures.words import IMAGE, VISION_END, VISION_START, VOCABULARY, picture_tokenizer


def vision_3b() -> Qwen2_5_VLConfig:
    """Sizes of Qwen2.5-VL-3B-Instruct, as its config.json states them; ids are those of our own tokenizer."""
    token = VOCABULARY.index
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128000,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 2048,
            "window_size": 112,
            "fullatt_block_indexes": [7, 15, 23, 31],
        },
        image_token_id=token(IMAGE),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token(VISION_START),
        vision_end_token_id=token(VISION_END),
        tie_word_embeddings=True,
    )


def random_vision(config: ModelConfig, shape: Qwen2_5_VLConfig | None = None) -> LoadedVision:
    """A model of that shape, on the device and in the dtype that another model is asked for.

    Args:
        config: says where weights are put and in which dtype.
        shape: sizes; those of Qwen2.5-VL-3B where none are given.
    """
    placement = place(config)
    with torch.random.fork_rng(devices=[]), torch.device(placement.device):
        torch.manual_seed(0)
        model = Qwen2_5_VLForConditionalGeneration._from_config(
            vision_3b() if shape is None else shape, dtype=placement.dtype
        )
    nn.Module.eval(model).requires_grad_(False)
    ready = prepare(Opened(model, picture_tokenizer()), config, placement)
    return LoadedVision(ready.model, ready.tokenizer, info_of(ready, config, {}), config)
