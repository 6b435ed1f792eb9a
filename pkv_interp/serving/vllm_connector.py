"""A KV connector by which vLLM serves exported caches. Imports nothing that needs our transformers.

A request names its cache with ``"kv_transfer_params": {"pkv": NAME}`` and brings a ``cache_salt``. Its
columns go into the engine's paged memory by the engine's own call, so no packing is known here. Whatever
cannot be served is computed in full; ``docs/serving.md`` says when that is.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from vllm.distributed.kv_transfer.kv_connector.v1.base import (  # pyright: ignore[reportMissingImports]
    KVConnectorBase_V1,
    KVConnectorMetadata,
    KVConnectorRole,
)
from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (  # pyright: ignore[reportMissingImports]
    KVConnectorStats,
)
from vllm.logger import init_logger  # pyright: ignore[reportMissingImports]
from vllm.model_executor.models.utils import extract_layer_index  # pyright: ignore[reportMissingImports]

from pkv_interp.errors import PkvError
from pkv_interp.serving.admission import Served, Shelf, admit, namespace
from pkv_interp.serving.checkpoint import checkpoint_sha256
from pkv_interp.serving.stored import Stored, Unserved

_LOG = init_logger("vllm.pkv_interp")
_PARAM = "pkv"


@dataclass(frozen=True)
class Load:
    """Columns that a step has to put into place: those from ``start`` on, into the request's blocks."""

    key: str
    start: int
    blocks: tuple[int, ...]


@dataclass
class Loads(KVConnectorMetadata):
    """All that a step has to put into place."""

    loads: list[Load] = field(default_factory=list)


@dataclass
class Counts(KVConnectorStats):
    """Requests that named a cache: how many were served from it, and how many not, by reason."""

    def reset(self) -> None:
        """Begin at nothing."""
        self.data = {}

    def aggregate(self, other: Counts) -> Counts:
        """Both together."""
        return Counts(dict(Counter(self.data) + Counter(other.data)))

    def reduce(self) -> dict[str, int | float]:
        """The form in which the engine logs them."""
        return {f"pkv {name}": number for name, number in sorted(self.data.items())}

    def is_empty(self) -> bool:
        """Whether no request named a cache."""
        return not self.data


class PkvConnector(KVConnectorBase_V1):
    """Named in ``--kv-transfer-config``, where ``folder`` of the extra config has the caches."""

    def __init__(self, vllm_config: Any, role: Any, kv_cache_config: Any) -> None:
        super().__init__(vllm_config=vllm_config, role=role, kv_cache_config=kv_cache_config)
        _check_engine(vllm_config, kv_cache_config, self._kv_transfer_config)
        folder = self._kv_transfer_config.get_from_extra_config("folder", None)
        if not folder:
            raise PkvError("no folder of caches was named", "set folder in kv_connector_extra_config")
        self._block = int(vllm_config.cache_config.block_size)
        self._secret = secrets.token_hex(16)
        self._counts: Counter[str] = Counter()
        self._admitted: dict[str, Stored] = {}
        self._waiting: dict[str, Load] = {}
        self._failed: set[int] = set()
        self._shelf = Shelf(Path(folder), whole=role == KVConnectorRole.WORKER)
        if role == KVConnectorRole.SCHEDULER:
            self._served = _served(vllm_config.model_config)

    # In the process of the scheduler.

    def on_new_request(self, request: Any) -> None:
        """Decide once whether a request is served, and give its columns a namespace of their own."""
        name = (request.kv_transfer_params or {}).get(_PARAM)
        if name is None:
            return
        try:
            prompt = request.prompt_token_ids or []
            cache = admit(self._shelf, self._served, name, request.cache_salt, prompt, _besides(request))
        except Unserved as why:
            self._counts[why.reason] += 1
            _LOG.warning("request %s is computed in full: %s", request.request_id, why)
            return
        self._counts["served"] += 1
        self._admitted[request.request_id] = cache
        request.cache_salt = namespace(cache, request.cache_salt, self._secret)
        request.block_hashes.clear()
        request.update_block_hashes()

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int, bool]:
        """Columns of the cache past those that the engine itself holds under the same namespace."""
        cache = self._admitted.get(request.request_id)
        return (0 if cache is None else max(0, len(cache.ids) - num_computed_tokens)), False

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """Note where the columns go; a request that was put off and comes back gets other blocks."""
        if num_external_tokens:
            cache = self._admitted[request.request_id]
            (mine,) = blocks.get_block_ids()
            start = len(cache.ids) - num_external_tokens
            self._waiting[request.request_id] = Load(cache.key, start, tuple(mine))

    def build_connector_meta(self, scheduler_output: Any) -> Loads:
        """What this step's requests have to be given."""
        del scheduler_output
        loads, self._waiting = Loads(list(self._waiting.values())), {}
        return loads

    def request_finished(self, request: Any, block_ids: Any) -> tuple[bool, None]:
        """Forget it; its blocks may be freed."""
        del block_ids
        self._admitted.pop(request.request_id, None)
        self._waiting.pop(request.request_id, None)
        return False, None

    def get_kv_connector_stats(self) -> Counts | None:
        """Counts since the last time."""
        counts, self._counts = self._counts, Counter()
        return Counts(dict(counts)) if counts else None

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> Counts:
        """Counts as they come from another process."""
        return Counts(data or {})

    # In the process of the model.

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Put the columns into place, before the forward that reads them."""
        del kwargs
        layers = {
            extract_layer_index(name): layer
            for name, layer in forward_context.no_compile_layers.items()
            if getattr(layer, "kv_cache", None) is not None
        }
        for load in self._get_connector_metadata().loads:
            try:
                self._put(load, layers)
            except (PkvError, RuntimeError) as error:
                # The engine then ends the request with an error, and gives its blocks to nobody.
                _LOG.error("the columns of %s could not be put into place: %s", load.key, error)
                self._failed.update(load.blocks[load.start // self._block :])

    def _put(self, load: Load, layers: dict[int, Any]) -> None:
        cache = self._shelf.get(load.key)
        if sorted(layers) != list(range(len(cache.keys))):
            cause = f"the engine has {len(layers)} layers, and the cache {len(cache.keys)}"
            raise Unserved("other weights", cause, "serve the model that made the cache")
        at = torch.arange(load.start, len(cache.ids))
        blocks = torch.tensor(load.blocks)[at // self._block]
        # Where every layer slides, tokens that no later one sees have no block: the engine writes 0 for it.
        at, blocks = at[blocks > 0], blocks[blocks > 0]
        slots = blocks * self._block + at % self._block
        for index, layer in layers.items():
            device = layer.kv_cache.device
            keys, values = (
                side[index, :, at].transpose(0, 1).contiguous().to(device)
                for side in (cache.keys, cache.values)
            )
            layer.impl.do_kv_cache_update(layer, keys, values, layer.kv_cache, slots.to(device))

    def get_block_ids_with_load_errors(self) -> set[int]:
        """Blocks that did not get their columns."""
        failed, self._failed = self._failed, set()
        return failed

    def wait_for_layer_load(self, layer_name: str) -> None:
        """All layers are in place when the forward begins."""

    def save_kv_layer(self, layer_name: str, kv_layer: Any, attn_metadata: Any, **kwargs: Any) -> None:
        """Nothing is taken out of the engine."""

    def wait_for_save(self) -> None:
        """Nothing is taken out of the engine."""


def _served(model: Any) -> Served:
    """What the engine serves, read from the files that it loads; read once, at its start."""
    dtype, weights = model.dtype, Unserved("other weights", "", "")
    try:
        if model.quantization is not None or model.hf_overrides or model.config_format not in ("auto", "hf"):
            cause = "the engine changes the checkpoint (quantization, hf_overrides or config_format)"
            raise Unserved("other weights", cause, "serve it as it is")
        weights = checkpoint_sha256(Path(model.model), dtype)
    except Unserved as why:
        _LOG.error("no cache will be served: %s", why)
        weights = why
    return Served(weights, model.hf_text_config.to_dict(), str(dtype).removeprefix("torch."))


def _besides(request: Any) -> list[str]:
    """What a request brings that changes its columns, or by which the engine would not read them."""
    told = {
        "a LoRA adapter": request.lora_request,
        "images or sounds": request.mm_features,
        "embeddings": request.prompt_embeds is not None,
        "pooling": request.pooling_params,
        "prompt_logprobs, or another option that reads no cache": request.skip_reading_prefix_cache,
        "an open prompt": request.resumable,
    }
    return [name for name, there in told.items() if there]


def _check_engine(vllm_config: Any, kv_cache_config: Any, transfer: Any) -> None:
    """Refuse to start in an engine in which columns would not come to lie where they are read.

    Raises:
        PkvError: naming what was not tried here.
    """
    parallel = vllm_config.parallel_config
    told = {
        "tensor or pipeline parallelism": parallel.world_size > 1,
        "speculative decoding": vllm_config.speculative_config is not None,
        f"a cache in {vllm_config.cache_config.cache_dtype}": vllm_config.cache_config.cache_dtype != "auto",
        "several groups of layers": len(kv_cache_config.kv_cache_groups) > 1,
        "kv_load_failure_policy=recompute": transfer.kv_load_failure_policy != "fail",
    }
    wrong = [name for name, there in told.items() if there]
    if wrong:
        raise PkvError(f"exported caches are not served with {', '.join(wrong)}", "leave that out")
