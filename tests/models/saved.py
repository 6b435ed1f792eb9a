"""Small checkpoints, adapters and GGUF files written to disk for the loader's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import PreTrainedModel

from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.gguf_write import write_gguf
from pkv_interp.models.load import LoadedModel, load
from pkv_interp.models.tiny import tiny_model


def save_tiny(directory: Path, family: str = "llama", seed: int = 0) -> PreTrainedModel:
    """Save a tiny model and its tokenizer as a checkpoint, and return the model."""
    model, tokenizer = tiny_model(family, seed)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return model


def load_local(path: Path, **overrides: Any) -> LoadedModel:
    """Load a directory through the catalogue entry "local", on the CPU in float32."""
    return load(
        load_catalogue_entry("local", **{"path": str(path), "device": "cpu", "dtype": "float32"} | overrides)
    )


def save_adapter(
    directory: Path, family: str = "llama", dtype: torch.dtype = torch.float16, **lora: Any
) -> Any:
    """Write a LoRA adapter with random weights as peft does, and return the unmerged peft model."""
    model, _ = tiny_model(family, 0)
    options: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj", "down_proj"]}
    wrapped: Any = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options | lora))
    generator = torch.Generator().manual_seed(9)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            drawn = torch.randn(parameter.shape, generator=generator) * 0.2
            parameter.data = drawn.to(dtype).float()
    stored = {k: v.to(dtype) for k, v in wrapped.state_dict().items() if "lora_" in k}
    wrapped.save_pretrained(directory, state_dict=stored)
    return wrapped.eval()


#: Written as llama.cpp's converter does.
save_gguf = write_gguf
