"""Shapes as the publishers of the catalogue's models state them in config.json: facts, no weights.

Only what decides sizes and multiply-adds is listed. With it a model is planned where no hub can be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pkv_interp.models.catalogue import ModelConfig


def _form(kind: str, d: int, inner: int, layers: int, heads: tuple[int, int], **more: Any) -> dict[str, Any]:
    return {
        "model_type": kind,
        "hidden_size": d,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        **more,
    }


def _llama(*sizes: Any, vocab: int = 128256, tied: bool = False) -> dict[str, Any]:
    return _form("llama", *sizes, vocab_size=vocab, tie_word_embeddings=tied)


def _qwen2(*sizes: Any) -> dict[str, Any]:
    return _form("qwen2", *sizes, vocab_size=151936, tie_word_embeddings=True)


def _qwen3(*sizes: Any, tied: bool = False) -> dict[str, Any]:
    return _form("qwen3", *sizes, head_dim=128, vocab_size=151936, tie_word_embeddings=tied)


def _gemma2(*sizes: Any, head_dim: int = 256) -> dict[str, Any]:
    return _form("gemma2", *sizes, head_dim=head_dim, vocab_size=256000, sliding_window=4096)


def _gemma3(*sizes: Any, head_dim: int, window: int = 1024, vocab: int = 262208) -> dict[str, Any]:
    return _form("gemma3_text", *sizes, head_dim=head_dim, vocab_size=vocab, sliding_window=window)


#: By repository on the hub, or by embedded package.
PUBLISHED: Mapping[str, Mapping[str, Any]] = {
    "meta-llama/Llama-3.1-8B-Instruct": _llama(4096, 14336, 32, (32, 8)),
    "meta-llama/Llama-3.1-70B-Instruct": _llama(8192, 28672, 80, (64, 8)),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": _llama(4096, 14336, 32, (32, 8)),
    "mistralai/Mistral-7B-Instruct-v0.3": _form(
        "mistral", 4096, 14336, 32, (32, 8), vocab_size=32768, sliding_window=None, tie_word_embeddings=False
    ),
    "google/gemma-2-2b-it": _gemma2(2304, 9216, 26, (8, 4)),
    "google/gemma-2-9b-it": _gemma2(3584, 14336, 42, (16, 8)),
    "google/gemma-2-27b-it": _gemma2(4608, 36864, 46, (32, 16), head_dim=128),
    "google/gemma-3-4b-it": _gemma3(2560, 10240, 34, (8, 4), head_dim=256),
    "google/gemma-3-27b-it": _gemma3(5376, 21504, 62, (32, 16), head_dim=128),
    "Qwen/Qwen3-0.6B": _qwen3(1024, 3072, 28, (16, 8), tied=True),
    "Qwen/Qwen3-1.7B": _qwen3(2048, 6144, 28, (16, 8), tied=True),
    "Qwen/Qwen3-4B": _qwen3(2560, 9728, 36, (32, 8), tied=True),
    "Qwen/Qwen3-8B": _qwen3(4096, 12288, 36, (32, 8)),
    "Qwen/Qwen3-14B": _qwen3(5120, 17408, 40, (40, 8)),
    "Qwen/Qwen3-32B": _qwen3(5120, 25600, 64, (64, 8)),
    "Qwen/Qwen3-30B-A3B": _form(
        "qwen3_moe",
        2048,
        6144,
        48,
        (32, 4),
        head_dim=128,
        moe_intermediate_size=768,
        num_experts=128,
        num_experts_per_tok=8,
        vocab_size=151936,
        tie_word_embeddings=False,
    ),
    # Of what the engine does not read the kind is enough: it is refused for it.
    "tiiuae/Falcon-H1-1.5B-Instruct": {"model_type": "falcon_h1"},
    "tiiuae/falcon-mamba-7b-instruct": {"model_type": "falcon_mamba"},
    "Qwen/Qwen3-Next-80B-A3B-Instruct": {"model_type": "qwen3_next"},
    "deepseek-ai/DeepSeek-V2-Lite-Chat": {"model_type": "deepseek_v2"},
    "deepseek-ai/DeepSeek-Coder-V2-Lite-Instruct": {"model_type": "deepseek_v2"},
    "HuggingFaceTB/SmolLM2-135M-Instruct": _llama(576, 1536, 30, (9, 3), vocab=49152, tied=True),
    "HuggingFaceTB/SmolLM2-360M-Instruct": _llama(960, 2560, 32, (15, 5), vocab=49152, tied=True),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": _llama(2048, 8192, 24, (32, 32), vocab=49152, tied=True),
    "smollm2-135m": _llama(576, 1536, 30, (9, 3), vocab=49152, tied=True),
    "gemma3-270m": _gemma3(640, 2048, 18, (4, 1), head_dim=256, window=512, vocab=262144),
    "qwen2.5-coder-0.5b": _qwen2(896, 4864, 24, (14, 2)),
    "qwen2.5-coder-1.5b": _qwen2(1536, 8960, 28, (12, 2)),
}


def published(model: ModelConfig) -> Mapping[str, Any] | None:
    """What is listed of a model; None where it is not."""
    if model.source == "embedded":
        from pkv_interp.models.embedded import DEFAULT

        return PUBLISHED.get(model.package or DEFAULT)
    return PUBLISHED.get(str(model.hub_id)) if model.source == "hub" else None
