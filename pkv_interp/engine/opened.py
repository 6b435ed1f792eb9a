"""Whether a cache that the engine did not make can be read by its model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from transformers import PreTrainedModel

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.masks import refuse_restricted
from pkv_interp.errors import PkvError
from pkv_interp.models.identity import config_of
from pkv_interp.models.spec import ModelSpec

#: What can be captured of the tokens that are run; of those in the cache only columns are known.
OPEN_CAPTURES = frozenset({"attention", "queries"})


def check_opened(
    ids: Sequence[int], cache: FrozenCache, capture: frozenset[str], spec: ModelSpec, like: Tensor
) -> None:
    """Refuse a cache that does not fit the prompt or the model.

    Args:
        ids: the whole prompt.
        cache: of its first tokens.
        capture: activations to keep.
        spec: shape of the model.
        like: a tensor of the model's dtype and device.

    Raises:
        PkvError: something else than a cache, one that is empty or covers the prompt, one of another shape,
            dtype or device, one that ends before its attention layout's last block, or a capture of what a
            cache does not hold.
    """
    if not isinstance(cache, FrozenCache):
        raise PkvError(f"a {type(cache).__name__} is no cache", "give a FrozenCache, as state.cache")
    if not 0 < cache.length < len(ids):
        raise PkvError(
            f"a cache of {cache.length} tokens cannot be opened for a prompt of {len(ids)}",
            "give the columns of its first tokens, of all but the last at most",
        )
    refuse_restricted(cache)
    if unknown := capture - OPEN_CAPTURES:
        raise PkvError(
            f"capture {sorted(unknown)} is not known of a cache", f"choose from {sorted(OPEN_CAPTURES)}"
        )
    have = (cache.n_layers, cache.keys[0].shape[1], cache.keys[0].shape[3])
    need = (spec.n_layers, spec.n_kv_heads, spec.head_dim)
    if have != need:
        raise PkvError(
            f"the cache has {_form(have)} and the model {_form(need)}",
            "open caches of the engine's own model",
        )
    made, mine = (cache.keys[0].dtype, cache.keys[0].device), (like.dtype, like.device)
    if made != mine:
        raise PkvError(
            f"the cache is {made[0]} on {made[1]} and the model {mine[0]} on {mine[1]}",
            "load both models in one dtype on one device",
        )


def check_writer(reader: PreTrainedModel, writer: PreTrainedModel) -> None:
    """Refuse a writer whose columns mean something else than the reader's: weights alone may differ.

    Raises:
        PkvError: another class, or a configuration that differs, with the keys that do.
    """
    if type(reader) is not type(writer):
        raise PkvError(
            f"the cache was written by {type(writer).__name__} and is to be read by {type(reader).__name__}",
            "use two models of one architecture",
        )
    mine, theirs = config_of(reader), config_of(writer)
    if odd := sorted(key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)):
        raise PkvError(
            f"the model that wrote the cache differs in {', '.join(odd[:4])}",
            "use two models that differ in their weights alone",
        )


def _form(shape: tuple[int, int, int]) -> str:
    return f"{shape[0]} layers of {shape[1]} heads of {shape[2]}"
