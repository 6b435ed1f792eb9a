"""GGUF files, dequantised into a plain model through transformers."""

from __future__ import annotations

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader, LlamaFileType
from huggingface_hub import hf_hub_download
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from pkv_interp.errors import PkvError
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.quiet import quiet

_MAGIC = b"GGUF"
_PLAIN = {"ALL_F32", "MOSTLY_F16", "MOSTLY_BF16"}


def check_gguf(file: Path) -> None:
    """Raise PkvError unless ``file`` exists and starts as a GGUF file does."""
    if not file.is_file():
        raise PkvError(f"GGUF file {file} does not exist", "set model.path to a .gguf file")
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise PkvError(f"{file} is not a GGUF file", "set model.path to a .gguf file")


def quantisation_of(file: Path) -> str | None:
    """Name of the format most weights of a GGUF file are held in, or None for plain floats."""
    try:
        field = GGUFReader(file).get_field("general.file_type")
    except (ValueError, IndexError, KeyError) as error:
        raise PkvError(f"{file} is a damaged GGUF file: {error}", "fetch it again") from error
    if field is None:
        return "unknown GGUF format (dequantised)"
    name = LlamaFileType(int(field.contents())).name
    return None if name in _PLAIN else f"{name.removeprefix('MOSTLY_')} (dequantised)"


def read_gguf(
    file: Path, dtype: torch.dtype, attention: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Dequantise a GGUF file.

    Args:
        file: a file that passed ``check_gguf``.
        dtype: dtype of the weights to return.
        attention: "sdpa", "eager", or None for the architecture's own choice.

    Returns:
        A model that holds plain floats and can be saved as safetensors, and its tokenizer.

    Raises:
        PkvError: when transformers cannot read the file or its architecture.
    """
    where, name = str(file.parent), file.name
    try:
        # The bar over the tensors is tqdm's own, out of reach of the switch in transformers.
        with quiet(), redirect_stderr(io.StringIO()):
            tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name)
            model: Any = AutoModelForCausalLM.from_pretrained(
                where, gguf_file=name, dtype=dtype, attn_implementation=attention, trust_remote_code=False
            )
    except (ValueError, KeyError, IndexError, OSError, RuntimeError, NotImplementedError) as error:
        raise PkvError(
            f"transformers cannot read {file}: {error}",
            "use a GGUF file of an architecture that transformers lists",
        ) from error
    # transformers keeps the model marked as GGUF-quantised, and save_pretrained then refuses it.
    if getattr(model, "hf_quantizer", None) is not None:
        del model.hf_quantizer
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


def fetch_gguf(hub_id: str, file: str, revision: str | None) -> tuple[Path, str]:
    """Fetch one GGUF file of a hub repository into the hub's cache; returns it and the commit it is of.

    Args:
        hub_id: of the repository.
        file: path in the repository.
        revision: branch, tag or commit; the default branch when None.
    """
    with told_as_pkv_error(hub_id, revision):
        path = Path(hf_hub_download(hub_id, file, revision=revision))
    # The hub's cache lays files out as snapshots/<commit>/<file>.
    return path, path.parents[len(Path(file).parts) - 1].name
