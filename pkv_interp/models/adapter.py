"""LoRA adapters, read from safetensors and merged into the weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float
from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache.measured import refuse_dtype
from pkv_interp.errors import PkvError
from pkv_interp.models.adapter_file import CONFIG_FILE, WEIGHTS_FILE, read_config, read_weights
from pkv_interp.paths import expanded
from pkv_interp.tolerances import ORDINARY_LOGIT, tolerance_of

PACKAGED = Path(__file__).resolve().parents[1] / "data"
#: Prompts and their tokens on which a merged model is held against the unmerged one.
_PROMPTS, _TOKENS = 8, 4


def find_adapter(name: str) -> Path:
    """Directory of an adapter: a path as given, or the name of one shipped with the package.

    Raises:
        PkvError: when neither has both files of an adapter.
    """
    given = expanded(name)
    shipped = PACKAGED / name
    # A bare name means the shipped one, whatever directory of that name the run was started beside.
    bare = len(given.parts) == 1 and (shipped.is_dir() or not given.is_dir())
    directory = shipped if bare else given
    hint = (
        "train it with python -m experiments.train_gate"
        if bare
        else "set model.adapter to a directory written by peft's save_pretrained"
    )
    if not directory.is_dir():
        raise PkvError(f"adapter directory {directory} is missing", hint)
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        if not (directory / file).is_file():
            raise PkvError(f"adapter directory {directory} has no {file}", hint)
    return directory


def merge_adapter(model: PreTrainedModel, path: str | Path) -> tuple[PreTrainedModel, str]:
    """Merge a LoRA adapter into the weights of ``model``, in place.

    Logits of a few tokens before the merge, as peft computes them, are held against those after it.

    Args:
        model: the plain model the adapter was trained on.
        path: directory with ``adapter_config.json`` and ``adapter_model.safetensors``.

    Returns:
        The model (same class, no peft layers left) and the sha256 of the adapter's weight file.

    Raises:
        PkvError: when files are missing, or the adapter does not fit the model or cannot be merged into it.
    """
    directory = find_adapter(str(path))
    weights = directory / WEIGHTS_FILE
    config, tensors = read_config(directory), read_weights(directory)
    what = type(model).__name__
    hint = f"use the model it was trained on ({config.base_model_name_or_path or 'not named in its config'})"
    tied = _tied(model)
    model.eval()
    # peft draws random initial values for weights that are overwritten below: keep the caller's stream.
    with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []):
        try:
            wrapped = get_peft_model(model, config)
            _check_complete(wrapped, tensors, f"adapter {directory}")
            outcome: Any = set_peft_model_state_dict(wrapped, tensors)
        except PkvError:
            raise
        except Exception as error:  # an adapter is input: whatever peft raises over it is told in one line
            raise PkvError(f"adapter {directory} does not fit {what}: {error}", hint) from error
    absent = [key for key in outcome.missing_keys if "lora_" in key]
    if absent or outcome.unexpected_keys:
        odd = (absent + list(outcome.unexpected_keys))[0]
        raise PkvError(f"adapter {directory} and {what} disagree on {odd}", hint)
    try:
        targets = _targets_of(wrapped, tied)
        before = _logits(wrapped.eval())
        merged = cast(Any, wrapped).merge_and_unload(safe_merge=True)
        after = _logits(merged.eval())
    except Exception as error:
        refuse_dtype(error, model)
        raise PkvError(
            f"adapter {directory} cannot be merged into {what}: {str(error).rstrip('. ')}",
            "train an adapter without it",
        ) from error
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    _check_merged(before, after, model.dtype, f"adapter {directory}", what, targets)
    return merged, hashlib.sha256(weights.read_bytes()).hexdigest()


def _check_complete(wrapped: Any, tensors: dict[str, Tensor], what: str) -> None:
    """Refuse a file that lacks biases, whole modules or token rows that the adapter's config trains.

    The low-rank matrices themselves may have other names in files of other versions; peft tells of those.
    """
    trained = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    absent = sorted(name for name in trained if "lora_" not in name and name not in tensors)
    if absent:
        raise PkvError(
            f"{what} lacks {len(absent)} tensors that its {CONFIG_FILE} trains, first {absent[0]}",
            "save or fetch it again, whole",
        )


def _tied(model: Any) -> tuple[Any, ...]:
    """Embedding and unembedding where they are one tensor, else nothing."""
    pair = (model.get_input_embeddings(), model.get_output_embeddings())
    return pair if None not in pair and pair[0].weight is pair[1].weight else ()


def _targets_of(wrapped: Any, modules: tuple[Any, ...]) -> list[str]:
    """Names of those of ``modules`` that the adapter changes."""
    found = []
    for name, module in wrapped.named_modules():
        inner = module.get_base_layer() if isinstance(module, BaseTunerLayer) else None
        if isinstance(module, AuxiliaryTrainingWrapper):
            inner = module.original_module
        if any(inner is one for one in modules):
            found.append(name.rpartition(".")[2])
    return found


@torch.no_grad()
def _logits(model: Any) -> Float[Tensor, "prompt token vocab"]:
    size = int(model.get_input_embeddings().weight.shape[0])
    ids = torch.linspace(0, size - 1, _PROMPTS * _TOKENS, device=model.device).long()
    return model(input_ids=ids.reshape(_TOKENS, _PROMPTS).T.contiguous(), use_cache=False).logits.float()


def _check_merged(
    before: Tensor, after: Tensor, dtype: torch.dtype, adapter: str, what: str, targets: list[str]
) -> None:
    """Refuse a merged model whose logits are not those of the unmerged one.

    Args:
        before: logits of the unmerged model.
        after: those of the merged one.
        dtype: that both computed in.
        adapter: for the message.
        what: class of the model, for the message.
        targets: tied modules that the adapter changes.

    Rounding may send a token to other experts: one prompt may differ in float32, and half of them in narrow
    dtypes, where the merged weights are rounded as well.
    """
    misses = (after - before).abs().flatten(1).max(dim=1).values.sort().values
    narrow = torch.finfo(dtype).bits < 32
    miss = float(misses[_PROMPTS // 2 if narrow else _PROMPTS - 2])
    size = float(before.abs().max())
    allowed = tolerance_of(dtype).logits * (4 if narrow else 1) * size / ORDINARY_LOGIT
    if miss <= allowed:
        return
    if targets:
        raise PkvError(
            f"{adapter} trains {' and '.join(targets)} of {what}, "
            "where embed_tokens and lm_head are one tensor: merged, both would change",
            "train it without these targets, or on a model with tie_word_embeddings=false",
        )
    raise PkvError(
        f"{adapter} merged into {what} gives other logits than unmerged, off by {miss:.1e} of {size:.1e}",
        "train an adapter that peft merges without loss",
    )
