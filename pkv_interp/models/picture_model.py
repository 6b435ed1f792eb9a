"""The shape of our own vision-language model: Qwen2.5-VL's architecture, small enough to train on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

from pkv_interp.pictures.words import BOS, EOS, IMAGE, PAD, VISION_END, VISION_START, VOCABULARY

_D_HEAD = 32
#: Deviation of initial weights; the usual 0.02 is for models of some thousand dimensions.
_INIT = 0.06


def picture_config(d_model: int = 128, layers: int = 6) -> Qwen2_5_VLConfig:
    """A text stack of ``layers`` blocks over a vision tower of two; 112 pixels are one window of 16 tokens.

    Args:
        d_model: width of the residual stream, a multiple of 64.
        layers: blocks of the text stack.
    """
    token = VOCABULARY.index
    heads = d_model // _D_HEAD
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(VOCABULARY),
            "hidden_size": d_model,
            "intermediate_size": 3 * d_model,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]},
            "bos_token_id": token(BOS),
            "eos_token_id": token(EOS),
            "pad_token_id": token(PAD),
            "initializer_range": _INIT,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 96,
            "intermediate_size": 256,
            "num_heads": 3,
            "out_hidden_size": d_model,
            "fullatt_block_indexes": [1],
            "initializer_range": _INIT,
        },
        image_token_id=token(IMAGE),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token(VISION_START),
        vision_end_token_id=token(VISION_END),
        tie_word_embeddings=True,
    )


@torch.no_grad()
def new_picture_model(seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """The model before its training, in float32; the caller's random numbers are left as they are.

    Queries of the text stack begin as its keys, so that a token attends to what is like it: a word then finds
    the picture token that it names, and looking things up need not be stumbled upon.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = Qwen2_5_VLForConditionalGeneration(picture_config())
    for layer in made.model.language_model.layers:
        attention: Any = layer.self_attn
        keys = attention.k_proj.weight.view(-1, _D_HEAD, attention.k_proj.in_features)
        group = attention.q_proj.out_features // attention.k_proj.out_features
        attention.q_proj.weight.copy_(keys.repeat_interleave(group, 0).flatten(0, 1))
    return made.requires_grad_()
