"""Typed results as JSON and arrays, and back: cattrs does the types, this module the arrays.

A frozen dataclass of numbers, text, lists, mappings with text or integer keys, other such dataclasses,
pydantic models and numpy arrays goes to disk and comes back as the same type. Arrays are annotated with
jaxtyping shapes, and an array of another rank or kind of number than its annotation says is refused in both
directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import cattrs
import numpy as np
import torch
from cattrs import Converter
from cattrs.errors import BaseValidationError
from jaxtyping import AbstractArray
from pydantic import BaseModel

from pkv_interp.errors import PkvError

T = TypeVar("T")
_ARRAY = "__array__"


@dataclass(frozen=True)
class Encoded:
    """What goes to disk.

    Attributes:
        tree: JSON types only; an array leaves ``{"__array__": name, "shape": [...]}`` in its place.
        arrays: by name.
    """

    tree: Any
    arrays: dict[str, np.ndarray]


def _is_array(kind: Any) -> bool:
    return kind is np.ndarray or (isinstance(kind, type) and issubclass(kind, AbstractArray))


def _fits(value: np.ndarray, kind: Any) -> np.ndarray:
    if kind is not np.ndarray and not isinstance(value, kind):
        raise ValueError(f"an array of shape {value.shape} and type {value.dtype} is no {kind.__name__}")
    return value


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _is_plain_union(kind: Any) -> bool:
    parts = get_args(kind) if get_origin(kind) in (Union, UnionType) else ()
    return bool(parts) and all(part in (str, int, float, bool, type(None)) for part in parts)


class _Coder:
    """One converter with the arrays that it puts aside or takes from."""

    def __init__(self, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.converter = Converter(prefer_attrib_converters=False)
        self.converter.register_unstructure_hook_factory(_is_array, self._out)
        self.converter.register_structure_hook_factory(_is_array, self._in)
        self.converter.register_unstructure_hook_func(_is_model, lambda model: model.model_dump(mode="json"))
        self.converter.register_structure_hook_func(_is_model, lambda tree, kind: kind.model_validate(tree))
        self.converter.register_structure_hook_func(_is_plain_union, lambda value, _: value)

    def _out(self, kind: Any) -> Any:
        def out(value: Any) -> dict[str, Any]:
            # Measurements may leave tensors where a numpy array is announced; they are the same numbers.
            array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
            name = f"a{len(self.arrays)}"
            self.arrays[name] = np.ascontiguousarray(_fits(array, kind))
            return {_ARRAY: name, "shape": list(array.shape)}

        return out

    def _in(self, kind: Any) -> Any:
        def back(tree: Any, _: Any) -> np.ndarray:
            return _fits(self.arrays[tree[_ARRAY]].reshape(tree["shape"]), kind)

        return back


def encode(value: Any, kind: Any, where: str) -> Encoded:
    """``value``, an instance of ``kind``, in the form that goes to disk.

    Args:
        value: a frozen dataclass, or a container of them.
        kind: its type; generic types carry their arguments (``Stage[Sites]``).
        where: what it is, for the message.

    Raises:
        PkvError: something in it has no such form, or an array does not fit its annotation.
    """
    coder = _Coder({})
    try:
        tree = coder.converter.unstructure(value, unstructure_as=kind)
    except (TypeError, ValueError, AttributeError) as error:
        raise PkvError(f"{where} cannot be stored: {error}", "correct the types of its dataclass") from error
    return Encoded(_plain(tree, where), coder.arrays)


def decode(encoded: Encoded, kind: type[T], where: str) -> T:
    """Inverse of `encode`.

    Raises:
        PkvError: what was stored is not of this type.
    """
    try:
        return _Coder(dict(encoded.arrays)).converter.structure(encoded.tree, kind)
    except (BaseValidationError, TypeError, ValueError, KeyError, AttributeError) as error:
        first = cattrs.transform_error(error)[0] if isinstance(error, BaseValidationError) else str(error)
        raise PkvError(f"{where} is not what it was stored as: {first}", "measure it again") from error


def _plain(tree: Any, where: str, at: str = "") -> Any:
    """``tree`` with numpy scalars as Python's; everything else must have a JSON form already."""
    if isinstance(tree, np.generic):
        return tree.item()
    if isinstance(tree, Mapping):
        odd = [name for name in tree if isinstance(name, bool) or not isinstance(name, str | int)]
        if odd:
            raise PkvError(f"{where} has a key that is neither text nor a number at {at or '/'}", "use text")
        return {name: _plain(inner, where, f"{at}/{name}") for name, inner in tree.items()}
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [_plain(inner, where, f"{at}/{i}") for i, inner in enumerate(tree)]
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise PkvError(f"{where} holds a {type(tree).__name__} at {at or '/'}", "announce it in its dataclass")
