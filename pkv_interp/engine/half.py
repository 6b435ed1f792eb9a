"""Prompts prefilled in a narrow dtype, and decided in the model's own.

Tokens before the decision go through a copy of the model whose parameters are narrow; their columns and
activations are widened, without loss. The decision token is run over them by the model itself, so that its
activations, its logits and every counterfactual are computed as they always are.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any

import torch
from nnsight import NNsight
from torch import Tensor

from pkv_interp.cache import FrozenCache
from pkv_interp.cache.state import weights_state_of
from pkv_interp.engine.keeping import kept_on
from pkv_interp.engine.prefill import Start, run_prefill
from pkv_interp.engine.results import Prefill
from pkv_interp.errors import PkvError
from pkv_interp.models.spec import ModelSpec

_EVERY = ("z_all", "mlp_all", "resid_all", "resid_mid_all")


class Prefiller:
    """Runs prompts of one model, the tokens before the decision in a narrower dtype where that is asked for.

    Args:
        tracer: the nnsight wrapper of the model.
        spec: shape of the model.
        like: a tensor of the model's dtype and device.
    """

    def __init__(self, tracer: Any, spec: ModelSpec, like: Tensor) -> None:
        self._tracer, self._spec, self._like = tracer, spec, like
        self._copies: dict[torch.dtype, tuple[Hashable, Any]] = {}
        self._dtype: torch.dtype | None = None

    def narrow(self, dtype: torch.dtype | None) -> None:
        """Use that dtype from now on; None: the model's own.

        Raises:
            PkvError: the model's own dtype is no wider.
        """
        if dtype is not None and torch.finfo(dtype).bits >= torch.finfo(self._like.dtype).bits:
            raise PkvError(
                f"a model in {_name(self._like.dtype)} has no narrower prefill in {_name(dtype)}",
                "set model.dtype=float32, or prefill_dtype=float32",
            )
        self._dtype = dtype

    def _narrow_tracer(self, dtype: torch.dtype) -> Any:
        """The copy in that dtype, made anew when a weight of the model was written to."""
        state = weights_state_of(self._tracer._module)
        if dtype not in self._copies or self._copies[dtype][0] != state:
            self._copies[dtype] = state, NNsight(narrowed_copy(self._tracer._module, dtype))
        return self._copies[dtype][1]

    def run(self, ids: Sequence[int], capture: frozenset[str], start: Start) -> Prefill:
        """As ``run_prefill``; tokens after a given cache are always run in the model's own dtype."""
        own = (self._tracer, ids, self._spec, capture, self._like)
        kept = kept_on(self._spec, len(ids), self._like) if "prefill" in capture else None
        if self._dtype is None or start.given is not None:
            return run_prefill(*own, start, kept)
        if start.shared is not None:
            shared = replace(start.shared, cache=_cast(start.shared.cache, self._dtype))
            # Columns of a prompt that was run in the model's own dtype would be rounded: it is not shared.
            start = replace(start, shared=shared if _same(shared.cache, start.shared.cache) else None)
        like = self._like[:1].to(self._dtype)
        early = run_prefill(self._narrow_tracer(self._dtype), ids, self._spec, capture, like, start, kept)
        decided = run_prefill(*own, Start(given=_cast(early.cache, self._like.dtype)), kept)
        return _joined(early, decided, self._like.dtype)


def narrowed_copy(model: Any, dtype: torch.dtype) -> Any:
    """A copy of a model with its parameters in ``dtype``; buffers (rotary frequencies) stay as they are."""
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        parameter.data = parameter.data.to(dtype)
    return copied.eval()


def _cast(cache: FrozenCache, dtype: torch.dtype) -> FrozenCache:
    keys, values = (tuple(t.to(dtype) for t in part) for part in (cache.keys, cache.values))
    return FrozenCache(keys, values, cache.regime, cache.layout)


def _same(narrow: FrozenCache, wide: FrozenCache) -> bool:
    pairs = zip((*narrow.keys, *narrow.values), (*wide.keys, *wide.values), strict=True)
    return all(torch.equal(one.to(other.dtype), other) for one, other in pairs)


def _joined(early: Prefill, decided: Prefill, dtype: torch.dtype) -> Prefill:
    """The decision as the model made it, with what was captured of the tokens before it."""
    found: dict[str, Tensor] = {}
    for name in _EVERY:
        if getattr(early, name) is not None:
            found[name] = torch.cat((early.need(name)[:, :-1].to(dtype), decided.need(name)), 1)
    if early.queries is not None:
        found["queries"] = torch.cat((early.queries[:, :, :-1].to(dtype), decided.need("queries")), 2)
    return replace(decided, given=0, **found)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
