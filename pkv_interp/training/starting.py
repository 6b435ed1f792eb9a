"""Training that goes on from an adapter."""

from pathlib import Path
from typing import Any

from peft import PeftModel, set_peft_model_state_dict

from pkv_interp.errors import PkvError
from pkv_interp.models.adapter_file import read_config, read_weights
from pkv_interp.training.trainer import TrainSettings


def start_from(model: PeftModel, directory: Path, settings: TrainSettings) -> None:
    """Give a fresh adapter the weights of another one.

    Args:
        model: with a fresh adapter; its trainable parameters are changed.
        directory: of the adapter to go on from.
        settings: of the training, whose rank and alpha the adapter must have.

    Raises:
        PkvError: it has another rank or alpha, or other matrices.
    """
    config = read_config(directory)
    if (config.r, config.lora_alpha) != (settings.rank, settings.alpha):
        raise PkvError(
            f"the adapter in {directory} has rank {config.r} and alpha {config.lora_alpha}, "
            f"and the training {settings.rank} and {settings.alpha}",
            f"set rank={config.r}",
        )
    outcome: Any = set_peft_model_state_dict(model, read_weights(directory))
    absent = [key for key in outcome.missing_keys if "lora_" in key]
    if absent or outcome.unexpected_keys:
        odd = (absent + list(outcome.unexpected_keys))[0]
        raise PkvError(
            f"the adapter in {directory} and the model disagree on {odd}", "start from another one"
        )
