"""A GGUF file written anew as a checkpoint in float32, with one of its tensors in memory at a time.

The larger code model takes 7 GB in float32. Read whole and then saved it would take half as much again, which
a machine that runs it well need not have.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from gguf import GGUFReader, ReaderTensor, dequantize
from jaxtyping import Float
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_file import check_tensors, read_head, settle_config, told_over
from pkv_interp.models.gguf_rope import ROPE_TENSORS
from pkv_interp.models.leftovers import check_report

WEIGHTS = "model.safetensors"
#: Numbers that are dequantised at once.
_PIECE = 1 << 24
_FLOAT = np.dtype("<f4")


@dataclass(frozen=True)
class Stored:
    """A weight to be written: its name in the model, its shape, and what gives its numbers."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Float[np.ndarray, "..."]]


def convert_gguf(file: Path, directory: Path) -> None:
    """Write a GGUF file as a directory that transformers loads: float32 weights, configuration, tokenizer.

    The numbers are those that ``read_gguf`` gives, bit for bit.

    Args:
        file: a file that passed ``check_gguf``.
        directory: to write, made where it is not there.

    Raises:
        PkvError: as ``read_gguf``, before a weight is written.
    """
    head = read_head(file)
    with told_over(file):
        config: Any = AutoConfig.from_pretrained(str(file.parent), gguf_file=file.name)
        settle_config(config, head, file.name)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
        architecture = str(head.metadata["general.architecture"])
        stored = _stored(model, GGUFReader(file).tensors, architecture, file.name)
        check_tensors(model, head, file.name)
        directory.mkdir(parents=True, exist_ok=True)
    write_weights(directory / WEIGHTS, stored)
    # As saving the model writes it.
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(directory)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def _stored(
    model: PreTrainedModel, tensors: Sequence[ReaderTensor], architecture: str, name: str
) -> list[Stored]:
    """Every weight of the model with the tensor that it is made of.

    Raises:
        PkvError: a weight has none, or one of another shape, or a tensor belongs to no weight.
    """
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=model.config.to_dict())
    names: Mapping[str, str] = get_gguf_hf_weights_map(model, processor)
    wanted = {key: tuple(weight.shape) for key, weight in _saved(model)}
    sources = {names[t.name]: t for t in tensors if t.name in names and t.name not in ROPE_TENSORS}
    made = [Stored(key, wanted.get(key, ()), _reader(processor, t)) for key, t in sorted(sources.items())]
    shapes = {key: tuple(reversed(tensor.shape.tolist())) for key, tensor in sources.items()}
    report = {
        "missing_keys": sorted(wanted.keys() - sources.keys()),
        "unexpected_keys": sorted(sources.keys() - wanted.keys()),
        "mismatched_keys": [
            (key, shape, wanted[key])
            for key, shape in shapes.items()
            if key in wanted and shape != wanted[key]
        ],
    }
    check_report(model, report, name, part_of_a_whole=False)
    return made


def _saved(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """What a checkpoint holds: tied weights once, under their first name, and the buffers that are saved."""
    held = model.state_dict()
    yield from model.named_parameters()
    yield from ((key, buffer) for key, buffer in model.named_buffers() if key in held)


def _reader(processor: Any, tensor: ReaderTensor) -> Callable[[], Float[np.ndarray, "..."]]:
    """Dequantises a tensor and undoes what llama.cpp did to it, when it is called."""

    def read() -> Float[np.ndarray, "..."]:
        return processor.process(weights=dequantised(tensor), name=tensor.name).weights

    return read


def dequantised(tensor: ReaderTensor) -> Float[np.ndarray, "..."]:
    """A tensor in float32; rows are dequantised a piece at a time, since gguf holds the whole twice."""
    shape = tuple(reversed(tensor.shape.tolist()))
    if len(shape) < 2:
        return dequantize(tensor.data, tensor.tensor_type)
    out = np.empty(shape, np.float32)
    step = max(1, _PIECE * shape[0] // max(1, out.size))
    for start in range(0, shape[0], step):
        rows = slice(start, start + step)
        out[rows] = dequantize(tensor.data[rows], tensor.tensor_type)
    return out


def write_weights(file: Path, weights: Sequence[Stored]) -> None:
    """Write a safetensors file weight by weight.

    The format is a length, a header in JSON and then the numbers, so that each can be written as it is made.

    Raises:
        PkvError: a weight is not of the shape that was said.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for one in weights:
        start, end = end, end + _FLOAT.itemsize * int(np.prod(one.shape))
        header[one.name] = {"dtype": "F32", "shape": list(one.shape), "data_offsets": [start, end]}
    told = json.dumps(header, separators=(",", ":")).encode()
    told += b" " * (-len(told) % 8)
    with file.open("wb") as out:
        out.write(len(told).to_bytes(8, "little"))
        out.write(told)
        for one in weights:
            _write(out, one)


def _write(out: BinaryIO, one: Stored) -> None:
    """Write the numbers of a weight. They end with the call, before the next are read."""
    numbers = np.ascontiguousarray(one.read(), _FLOAT)
    if numbers.shape != one.shape:
        raise PkvError(
            f"{one.name} is read as {numbers.shape}, and the model makes it {one.shape}",
            "use the safetensors checkpoint that the file was made from",
        )
    numbers.tofile(out)
