"""A model without weights, made of its configuration alone: what it cannot do is told before it loads."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel

from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.checkpoint import check_directory
from pkv_interp.models.config_errors import check_sizes, check_window, rope_told
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.quiet import quiet
from pkv_interp.models.tiny import tiny_model
from pkv_interp.models.tokenizer import place_of


def skeleton(config: ModelConfig) -> PreTrainedModel:
    """The language model's modules on the meta device.

    Raises:
        PkvError: its configuration cannot be read; the line says why.
    """
    if config.source == "tiny":
        return tiny_model(str(config.family), config.seed)[0]
    if config.source == "local":
        check_directory(str(config.path))
    where, options = place_of(config)
    with told_as_pkv_error(where, config.revision), quiet(warnings=False):
        check_sizes(PreTrainedConfig.get_config_dict(where, **options)[0], where)
        whole: Any = AutoConfig.from_pretrained(where, **options)
        text = whole.get_text_config()
        check_window(text, where)
        with torch.device("meta"), rope_told(text, where):
            return AutoModelForCausalLM.from_config(text, attn_implementation="eager")
