"""Models of the table of tiny architectures (``architecture_table``), with random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from pkv_interp.models.architecture_table import SHAPE, architecture
from pkv_interp.models.tiny_tokenizer import tiny_tokenizer

#: Of every weight matrix: large enough for one changed token to move the logits visibly.
_SPREAD = 0.15
#: Weights that write to a recurrent state and read from it.
_OF_STATES = ("x_proj", "dt_proj", "in_proj.weight", "conv1d.weight")


def tiny_architecture(name: str, seed: int = 0) -> PreTrainedModel:
    """A random model of one row: two layers, a stream of 32, on the CPU in float32.

    Norms, biases and gates are random as well, so that they show. The global random state is left as it was.

    Args:
        name: of the row.
        seed: of the weights.

    Raises:
        PkvError: there is no such row.
    """
    row = architecture(name)
    shape: dict[str, Any] = SHAPE | {"vocab_size": len(tiny_tokenizer("qwen3"))} | row.special
    config = CONFIG_MAPPING[row.model_type](**shape)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for called, weight in model.named_parameters():
            drawn = torch.randn(weight.shape, generator=generator)
            if called.endswith("A_log"):
                weight.copy_(0.2 * drawn - 2.0)  # a state that fades slowly, so that losing it shows
            elif any(part in called for part in _OF_STATES):
                weight.copy_(4 * _SPREAD * drawn)
            elif "norm" in called or "ln_" in called or called.endswith(("bias", ".D")):
                weight.add_(0.2 * drawn)
            else:
                weight.copy_(_SPREAD * drawn)
    return model.eval().requires_grad_(False)
