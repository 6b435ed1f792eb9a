"""Traced forwards on a server that has the model loaded (nnsight's remote execution), or a dry run of that.

A prompt is named by its token ids: rows over it are decoded in the session that prefills it, so that no
cache travels, only tokens there and logits back. What this engine did not make from tokens (an edited cache,
a donor that was put together) is sent whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

import nnsight
import torch
from torch import Tensor

from pkv_interp.cache import AttentionLayout, FrozenCache
from pkv_interp.cache.positions import Positions
from pkv_interp.engine.batches import Budget
from pkv_interp.engine.decode import run_rows
from pkv_interp.engine.engine import Engine
from pkv_interp.engine.prefill import Start, run_prefill
from pkv_interp.engine.results import Decoded, Prefill
from pkv_interp.errors import PkvError
from pkv_interp.ids import as_ids
from pkv_interp.interventions import Row
from pkv_interp.models.load import LoadedModel

#: On no server; on the one that nnsight is set up for; or here, through all that would be sent to one.
Remote = bool | Literal["local"]
#: A prompt as it is sent: its tokens, captures and attention layout, or all of it.
Sent = tuple[tuple[int, ...], frozenset[str], AttentionLayout | None] | Prefill


class RemoteEngine(Engine):
    """An engine whose prompts and rows are run elsewhere.

    The same model is loaded here as well: tokens, shapes and rotary frequencies are read off it, and
    gradients and what needs weights alone are computed here.

    Args:
        loaded: the model.
        memory_budget_mb: as of ``Engine``.
        where: True or "local".
    """

    def __init__(self, loaded: LoadedModel, memory_budget_mb: float | None, where: Remote) -> None:
        super().__init__(loaded, memory_budget_mb)
        # The server has no pkv_interp: its functions go with each request. nnsight does that by itself for
        # what is not installed, and an editable install counts as installed.
        nnsight.register("pkv_interp")
        self._where: Remote = where
        self._model: Any = nnsight.TransformersModel(
            loaded.model, tokenizer=loaded.tokenizer, task="text-generation"
        )
        self._made: WeakKeyDictionary[Prefill, frozenset[str]] = WeakKeyDictionary()

    def _prefilled(self, ids: Sequence[int], capture: frozenset[str], start: Start) -> Prefill:
        ids = tuple(int(token) for token in ids)
        given, layout = start.given, start.layout if start.given is None else start.given.layout
        # To send a shared prompt costs more than to run it again.
        found = _prefill(self._model, self._where, ids, self.spec, capture, Start(None, given, layout))
        there = {name: self._here(value) for name, value in found["tensors"].items()}
        keys, values = (tuple(map(self._here, found[name])) for name in ("keys", "values"))
        cache = FrozenCache(keys, values, Positions.of(self.loaded.model).regime(len(ids)), layout)
        made = Prefill(ids, cache, given=0 if given is None else given.length, **there)
        if given is None:
            self._made[made] = capture
        return made

    def prefill_in(self, dtype: torch.dtype | None) -> None:
        """Only as the model is there.

        Raises:
            PkvError: another dtype is asked for.
        """
        if dtype is not None:
            raise PkvError("prompts are run in the dtype that the model has there", "leave prefill_dtype out")

    def _decoded(self, base: Prefill, rows: Any, donors: Any, token_ids: Any) -> Decoded:
        sent = [self._sent(prompt) for prompt in (base, *donors)]
        tokens = None if token_ids is None else as_ids(token_ids, self.spec.vocab_size)
        found = _decode(self._model, self._where, sent, rows, tokens, self._budget())
        return Decoded(self._here(found["logits"]), self._here(found["argmax"]))

    def _here(self, value: Any) -> Any:
        return None if value is None else value.to(self.loaded.device)

    def _sent(self, prompt: Prefill) -> Sent:
        # Only the very object: a copy with something replaced is not what its tokens make.
        return (prompt.ids, self._made[prompt], prompt.cache.layout) if prompt in self._made else prompt


def engine_of(loaded: LoadedModel, memory_budget_mb: float | None = None, remote: Remote = False) -> Engine:
    """An engine that runs where it is asked to.

    Args:
        loaded: the model.
        memory_budget_mb: as of ``Engine``.
        remote: on the server that nnsight is set up for, or "local": here, through all that would be sent.
    """
    return RemoteEngine(loaded, memory_budget_mb, remote) if remote else Engine(loaded, memory_budget_mb)


def _prefill(
    model: Any, where: Remote, ids: Sequence[int], spec: Any, capture: frozenset[str], start: Start
) -> dict[str, Any]:
    """One session with one prefill. What its block reads is what is sent: ids, and columns where given."""
    # fmt: off
    with model.session(remote=where):
        found = run_prefill(model, ids, spec, capture, _embedding(model), start)
        kept = nnsight.save(_plain(found))
    # fmt: on
    return kept  # noqa: RET504 (nnsight binds it when the block has run)


def _decode(
    model: Any,
    where: Remote,
    sent: Sequence[Sent],
    rows: Sequence[Row],
    token_ids: Sequence[int] | None,
    budget: Budget,
) -> dict[str, Any]:
    """One session in which the prompts are prefilled and the rows decoded; the caches stay there."""
    # fmt: off
    with model.session(remote=where):
        prompts = _prompts(model, sent, budget.spec)
        found = run_rows(model, prompts[0], rows, prompts[1:], token_ids, budget, _embedding(model))
        kept = nnsight.save({"logits": found.logits, "argmax": found.argmax})
    # fmt: on
    return kept  # noqa: RET504 (nnsight binds it when the block has run)


def _embedding(model: Any) -> Tensor:
    """Stands for dtype and device of the model where it is run; ours must not be sent."""
    return model._module.get_input_embeddings().weight


def _prompts(model: Any, sent: Sequence[Sent], spec: Any) -> list[Prefill]:
    return [
        run_prefill(model, one[0], spec, one[1], _embedding(model), Start(layout=one[2]))
        if isinstance(one, tuple)
        else one
        for one in sent
    ]


def _plain(found: Prefill) -> dict[str, Any]:
    """A prefill without classes of ours, which could not be unpickled on their way back."""
    tensors = {name: one for name, one in vars(found).items() if name not in ("ids", "cache", "given")}
    return {"tensors": tensors, "keys": list(found.cache.keys), "values": list(found.cache.values)}
