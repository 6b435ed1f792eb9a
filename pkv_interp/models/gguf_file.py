"""GGUF files, dequantised into a plain model through transformers."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGUFReader, LlamaFileType, dequantize
from huggingface_hub import hf_hub_download
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_gguf_pytorch_utils import TensorProcessor, get_gguf_hf_weights_map

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_metadata import architecture_keys, settle
from pkv_interp.models.gguf_rope import ROPE_TENSORS, settle_rope
from pkv_interp.models.hub_errors import told_as_pkv_error
from pkv_interp.models.leftovers import check_report
from pkv_interp.models.quiet import quiet

_MAGIC = b"GGUF"
_PLAIN = {"ALL_F32", "MOSTLY_F16", "MOSTLY_BF16"}
_PLAIN_TENSORS = {"F32", "F16", "BF16", "F64"}
#: Lists as long as the vocabulary, which only the tokenizer reads.
_LONG = frozenset(f"tokenizer.ggml.{name}" for name in ("tokens", "token_type", "merges", "scores"))


def check_gguf(file: Path) -> None:
    """Raise PkvError unless ``file`` exists and starts as a GGUF file does."""
    if not file.is_file():
        raise PkvError(f"GGUF file {file} does not exist", "set model.path to a .gguf file")
    with file.open("rb") as stream:
        if stream.read(len(_MAGIC)) != _MAGIC:
            raise PkvError(f"{file} is not a GGUF file", "set model.path to a .gguf file")


@dataclass(frozen=True)
class GgufHead:
    """Metadata of a GGUF file, types and sizes of its tensors, and those that hold rotary factors."""

    metadata: Mapping[str, Any]
    types: Mapping[str, str]
    sizes: Mapping[str, int]
    rope: Mapping[str, np.ndarray]


def read_head(file: Path) -> GgufHead:
    """Read all but the weights of a GGUF file.

    Raises:
        PkvError: it is damaged, of a type that is unknown here, or names no architecture.
    """
    try:
        reader = GGUFReader(file)
        metadata = {name: field.contents() for name, field in reader.fields.items() if name not in _LONG}
        rope = {
            t.name: np.array(dequantize(t.data, t.tensor_type), float).reshape(-1)
            for t in reader.tensors
            if t.name in ROPE_TENSORS
        }
    except Exception as error:  # a damaged file makes numpy and the reader raise anything
        if "GGMLQuantizationType" in str(error):
            raise PkvError(
                f"{file} holds tensors of a type that the installed gguf does not know: {error}",
                "use a newer gguf, or a file of another quantisation",
            ) from error
        raise PkvError(f"{file} is a damaged GGUF file: {error}", "fetch it again") from error
    if not isinstance(metadata.get("general.architecture"), str):
        raise PkvError(f"{file} names no architecture", "fetch it again")
    types = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    return GgufHead(metadata, types, {t.name: int(t.n_elements) for t in reader.tensors}, rope)


def quantisation_of(file: Path) -> str | None:
    """Name of the format most weights of a GGUF file are held in, or None for plain floats.

    Raises:
        PkvError: the file is damaged, or of a type that is unknown here.
    """
    head = read_head(file)
    number = head.metadata.get("general.file_type")
    packed = sorted({kind for kind in head.types.values() if kind not in _PLAIN_TENSORS})
    if number is None:
        return f"{', '.join(packed)} (dequantised)" if packed else None
    try:
        name = LlamaFileType(int(number)).name
    except ValueError as error:
        raise PkvError(
            f"{file} is of file type {number}, which the installed gguf does not know",
            "use a newer gguf, or a file of another quantisation",
        ) from error
    if name in _PLAIN:
        return f"{', '.join(packed)} (dequantised)" if packed else None
    return f"{name.removeprefix('MOSTLY_')} (dequantised)"


def read_gguf(
    file: Path, dtype: torch.dtype, attention: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """``read_gguf_model`` and the file's tokenizer.

    Args:
        file: a file that passed ``check_gguf``.
        dtype: dtype of the weights to return.
        attention: "sdpa", "eager", or None for the architecture's own choice.

    Raises:
        PkvError: as ``read_gguf_model``, or the tokenizer cannot be read.
    """
    model = read_gguf_model(file, dtype, attention)
    with told_over(file):
        return model, AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


def read_gguf_model(file: Path, dtype: torch.dtype, attention: str | None = None) -> PreTrainedModel:
    """Dequantise a GGUF file.

    Args:
        file: a file that passed ``check_gguf``.
        dtype: dtype of the weights to return.
        attention: "sdpa", "eager", or None for the architecture's own choice.

    Returns:
        A model that holds plain floats and can be saved as safetensors.

    Raises:
        PkvError: when transformers cannot read the file or its architecture, or would leave out a part of it.
    """
    where, name = str(file.parent), file.name
    head = read_head(file)
    with told_over(file):
        config: Any = AutoConfig.from_pretrained(where, gguf_file=name)
        settle_config(config, head, name)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            where,
            gguf_file=name,
            config=config,
            dtype=dtype,
            attn_implementation=attention,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, with their names
        )
    model, report = loaded
    check_report(model, report, name, part_of_a_whole=False)
    check_tensors(model, head, name)
    # transformers keeps the model marked as GGUF-quantised, and save_pretrained then refuses it.
    if getattr(model, "hf_quantizer", None) is not None:
        del model.hf_quantizer
    model.is_quantized = False
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


@contextmanager
def told_over(file: Path) -> Iterator[None]:
    """Turn what transformers raises over a file into one line, its bars and tables kept off the screen.

    Raises:
        PkvError: in place of anything that is raised inside the block.
    """
    try:
        # The bar over the tensors is tqdm's own, out of reach of the switch in transformers.
        with quiet(warnings=False), redirect_stderr(io.StringIO()):
            yield
    except PkvError:
        raise
    except Exception as error:  # a file is input: whatever a library raises over it is told in one line
        raise PkvError(
            f"transformers cannot read {file}: {error}",
            "use a GGUF file of an architecture that transformers lists",
        ) from error


def settle_config(config: Any, head: GgufHead, name: str) -> None:
    """Apply what the reader of transformers leaves out of a file's metadata to a configuration.

    Args:
        config: changed in place, before the model is made of it.
        head: of the file.
        name: of the file, for the message.

    Raises:
        PkvError: the file is no whole model, or says what its architecture cannot follow.
    """
    kind = str(head.metadata.get("general.type", "model"))
    if kind != "model":
        raise PkvError(f"{name} is of type {kind}, not model", "give the file of the model itself")
    if int(head.metadata.get("split.count", 0)) > 1:
        raise PkvError(f"{name} is one of {head.metadata['split.count']} parts", "join them with gguf-split")
    keys = architecture_keys(head.metadata)
    settle_rope(config, keys, head.rope, name)
    settle(config, keys, name)


def check_tensors(model: PreTrainedModel, head: GgufHead, name: str) -> None:
    """Refuse a file of which a tensor went into no weight.

    What was loaded has as many numbers as the file's tensors, and no weight is without one of them.

    Args:
        model: made of the file; it may be without numbers.
        head: of the file.
        name: of the file, for the message.

    Raises:
        PkvError: naming the first tensor that has no place.
    """
    sizes = {tensor: size for tensor, size in head.sizes.items() if tensor not in ROPE_TENSORS}
    held = sum(parameter.numel() for parameter in model.parameters())
    held += sum(buffer.numel() for key, buffer in model.named_buffers() if key in model.state_dict())
    if sum(sizes.values()) == held:
        return
    known = get_gguf_hf_weights_map(model, TensorProcessor())
    left = sorted(tensor for tensor in sizes if tensor not in known) or sorted(sizes)[-1:]
    raise PkvError(
        f"{name} holds tensors that {type(model).__name__} has no place for, first {left[0]}",
        "use the safetensors checkpoint that the file was made from",
    )


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
