"""Slot files of llama.cpp's server: taken apart, and made anew with other columns.

Nothing about the engine's layout is taken for granted. The server is asked to save a slot that holds a few
tokens; that file is read to its last byte, and the new file is made in its form. What cannot be read so is
refused: another version, two caches in one file (sliding windows), recurrent state, keys that were turned.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pkv_interp.serving.stored import Unserved

_MAGIC, _VERSIONS = b"qsgg", (2, 3, 4)
#: Types of ggml that columns may be held in, by their number.
_TYPES = {0: np.dtype("<f4"), 1: np.dtype("<f2")}
Array = Float[np.ndarray, "layers n_kv T d"]


@dataclass(frozen=True, eq=False)
class SlotFile:
    """What a slot file holds.

    Attributes:
        version: of the format.
        ids: tokens, one per column.
        framed: the tokens stand between further numbers, as this version writes them.
        streams: caches that the server holds side by side.
        stream: the one of these that the slot uses.
        owner: the number by which its columns are marked.
        flipped: values are stored with a row per channel, as without flash attention.
        types: of keys and of values, by their number.
        keys: in the layout of the engine.
        values: in its layout.
    """

    version: int
    ids: tuple[int, ...]
    framed: bool
    streams: int
    stream: int
    owner: int
    flipped: bool
    types: tuple[int, int]
    keys: Array
    values: Array


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.at = content, 0

    def take(self, form: str) -> tuple[int, ...]:
        got = struct.unpack_from(f"<{form}", self.content, self.at)
        self.at += struct.calcsize(f"<{form}")
        return got

    def numbers(self, dtype: np.dtype, count: int) -> np.ndarray:
        got = np.frombuffer(self.content, dtype, count, self.at)
        self.at += got.nbytes
        return got


def read_slot(content: bytes, layers: int, heads: int, width: int) -> SlotFile:
    """Take a slot file apart.

    Args:
        content: of the file.
        layers: that the model has.
        heads: with keys and values.
        width: of a head.

    Raises:
        Unserved: it is not of the form that is known here, or something is left over.
    """
    try:
        return _read(_Reader(content), layers, heads, width)
    except (struct.error, ValueError, KeyError) as error:
        raise _unknown("it ends early, or holds what is not known") from error


def _read(reader: _Reader, layers: int, heads: int, width: int) -> SlotFile:
    magic, version, count = struct.unpack_from("<4sII", reader.content)
    reader.at = 12
    if magic != _MAGIC or version not in _VERSIONS:
        raise _unknown(f"it begins as {magic!r}, version {version}")
    words = reader.numbers(np.dtype("<i4"), count).tolist()
    framed = len(words) > 3 and words[:2] == [-1, 1] and words[2] == len(words) - 4 and words[-1] == 0
    ids = tuple(words[3:-1] if framed else words)
    if min(ids, default=-1) < 0:
        raise _unknown("its tokens are written in another way")
    (streams,) = reader.take("I")
    found: list[SlotFile] = []
    for stream in range(streams):
        (cells,) = reader.take("I")
        if not cells:
            continue
        owners = set()
        for at in range(cells):
            position, marks, owner = reader.take("iIi")
            if position != at or marks != 1:
                raise _unknown("its columns are out of order or shared")
            owners.add(owner)
        flipped, told_layers, turned_keys, turned_values = reader.take("IIII")
        if told_layers != layers or turned_keys or turned_values or flipped not in (0, 1):
            raise _unknown(f"it has {told_layers} layers (the cache {layers}) or keys that were turned")
        if cells != len(ids) or len(owners) != 1:
            raise _unknown(f"it has {cells} columns for {len(ids)} tokens")
        keys, key_type = _rows(reader, layers, cells, heads, width)
        if flipped:
            values, value_type = _channels(reader, layers, cells, heads, width)
        else:
            values, value_type = _rows(reader, layers, cells, heads, width)
        found.append(
            SlotFile(
                version,
                ids,
                framed,
                streams,
                stream,
                owners.pop(),
                bool(flipped),
                (key_type, value_type),
                keys,
                values,
            )
        )
    if len(found) != 1 or reader.at != len(reader.content):
        raise _unknown("it holds more than one cache of plain attention")
    return found[0]


def _rows(reader: _Reader, layers: int, cells: int, heads: int, width: int) -> tuple[Array, int]:
    """Columns one after another."""
    out, kind = np.empty((layers, heads, cells, width), np.float32), 0
    for layer in range(layers):
        kind, row = reader.take("iQ")
        if row != heads * width * _TYPES[kind].itemsize:
            raise _unknown(f"a column takes {row} bytes")
        read = reader.numbers(_TYPES[kind], cells * heads * width)
        out[layer] = read.reshape(cells, heads, width).swapaxes(0, 1)
    return out, kind


def _channels(reader: _Reader, layers: int, cells: int, heads: int, width: int) -> tuple[Array, int]:
    """One row per channel."""
    out, kind = np.empty((layers, heads, cells, width), np.float32), 0
    for layer in range(layers):
        kind, size, rows = reader.take("iII")
        if size != _TYPES[kind].itemsize or rows != heads * width:
            raise _unknown(f"values have {rows} channels of {size} bytes")
        read = reader.numbers(_TYPES[kind], rows * cells)
        out[layer] = read.reshape(heads, width, cells).swapaxes(1, 2)
    return out, kind


def write_slot(like: SlotFile, ids: Sequence[int], keys: Array, values: Array) -> bytes:
    """A slot file in the form of another, with other tokens and columns.

    Args:
        like: saved by the server that is to read it, from the slot that it is for.
        ids: one per column.
        keys: in the layout of the engine.
        values: in its layout.
    """
    count = len(ids)
    words = [-1, 1, count, *ids, 0] if like.framed else list(ids)
    out = [struct.pack("<4sII", _MAGIC, like.version, len(words)), np.array(words, "<i4").tobytes()]
    out.append(struct.pack("<I", like.streams))
    for stream in range(like.streams):
        if stream != like.stream:
            out.append(struct.pack("<I", 0))
            continue
        cells = np.empty((count, 3), "<i4")
        cells[:, 0], cells[:, 1], cells[:, 2] = np.arange(count), 1, like.owner
        out += [struct.pack("<I", count), cells.tobytes()]
        out.append(struct.pack("<IIII", like.flipped, len(keys), 0, 0))
        key_type, value_type = like.types
        out += [_columns(layer, key_type) for layer in keys]
        out += [
            _flipped(layer, value_type) if like.flipped else _columns(layer, value_type) for layer in values
        ]
    return b"".join(out)


def _columns(layer: Float[np.ndarray, "n_kv T d"], kind: int) -> bytes:
    heads, _, width = layer.shape
    told = struct.pack("<iQ", kind, heads * width * _TYPES[kind].itemsize)
    return told + layer.swapaxes(0, 1).astype(_TYPES[kind]).tobytes()


def _flipped(layer: Float[np.ndarray, "n_kv T d"], kind: int) -> bytes:
    heads, _, width = layer.shape
    told = struct.pack("<iII", kind, _TYPES[kind].itemsize, heads * width)
    return told + layer.swapaxes(1, 2).astype(_TYPES[kind]).tobytes()


def paired(keys: Array) -> Array:
    """Keys whose rotary pairs lie half a head apart (transformers), with pairs side by side (Llama-type)."""
    layers, heads, count, width = keys.shape
    return keys.reshape(layers, heads, count, 2, width // 2).swapaxes(3, 4).reshape(keys.shape)


def _unknown(what: str) -> Unserved:
    return Unserved(
        "slot file",
        f"the server's slot file is of a form that is not known here: {what}",
        "use plain attention, a cache in f32 or f16, and a version that docs/serving.md names",
    )
