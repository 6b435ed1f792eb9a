"""Exported caches in llama.cpp's own server, by slot files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import httpx
import numpy as np

from pkv_interp.errors import PkvError
from pkv_interp.files import atomic_write
from pkv_interp.ids import TokenIds, as_ids
from pkv_interp.paths import expanded
from pkv_interp.serving import stored
from pkv_interp.serving.slots import Array, SlotFile, paired, read_slot, write_slot
from pkv_interp.serving.stored import Stored, Unserved
from pkv_interp.tolerances import tolerance_of

_LOG = logging.getLogger("pkv_interp.serving")
#: Options of the server that read the prompt's ids back, with the value that leaves each alone.
_PENALTIES = {"repeat_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "dry_multiplier": 0.0}
#: Options that are set here, or that change what the server computes.
_OWN = frozenset({"prompt", "id_slot", "n_cache_reuse", "cache_prompt", "stream", "lora"})


@dataclass(frozen=True)
class Answer:
    """What the server said.

    Attributes:
        told: the server's answer as it gave it.
        served: from the cache that was named; otherwise the prompt was computed in full.
        reason: why the cache was not used, or "".
        probed: tokens that the server computed beside the answer's, to be compared with the cache's own.
    """

    told: dict[str, Any]
    served: bool
    reason: str = ""
    probed: int = 0


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        prompt: token ids of the whole prompt.
        cache: name of an exported cache, whose ids the prompt begins with; None for a plain request.
        salt: a text that only this tenant's requests carry; without one no cache is used.
        slot: of the server, for a request that names a cache.
        options: further keys of the server's ``/completion``, as ``n_predict``.
    """

    prompt: TokenIds
    cache: str | None = None
    salt: str = ""
    slot: int = 0
    options: dict[str, Any] | None = None


class LlamaSlots:
    """A llama.cpp server and a folder of exported caches. One object may be used by several threads.

    A slot's prefix is found by its token ids, whoever asks. So the columns are put in under other ids,
    drawn from the salt and the cache's name; the request sends those, and a plain request with the true ids
    finds nothing. The server says how many columns it used: where they are not all of ours, the answer is
    thrown away and the prompt computed in full under its true ids. After the answer the slot is erased.
    """

    def __init__(
        self,
        url: str,
        slots: str | Path,
        caches: str | Path,
        *,
        precision: str = "float32",
        timeout: float = 600.0,
    ) -> None:
        """Nothing is asked yet.

        Args:
            url: of the server.
            slots: its ``--slot-save-path``, which must be a folder that both can see.
            caches: folder that ``export`` wrote to.
            precision: how exactly the server's own columns must agree with the model's, as a dtype.
            timeout: of one request, in seconds.
        """
        self.slots, self.caches = expanded(slots), expanded(caches)
        self.allowed = tolerance_of(precision).keys
        #: Requests served from a cache under "served"; others that named one, by reason.
        self.counts: Counter[str] = Counter()
        # A server ends an idle connection when it likes, and a request that meets the end has no answer.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(base_url=url, timeout=timeout, limits=limits)
        self._locks: dict[int, Lock] = {}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def complete(self, request: Request) -> Answer:
        """Ask; from the named cache where that is possible, else computed in full.

        Raises:
            PkvError: the server cannot be reached or refuses the request itself.
        """
        prompt, options = as_ids(request.prompt), request.options or {}
        if request.cache is None:
            return Answer(self._completion(prompt, options), served=False)
        try:
            told, probed = self._from_cache(request, prompt, options)
        except Unserved as why:
            self.counts[why.reason] += 1
            _LOG.warning("computed in full: %s", why)
            return Answer(self._completion(prompt, options), served=False, reason=why.reason)
        self.counts["served"] += 1
        return Answer(told, served=True, probed=probed)

    def _from_cache(
        self, request: Request, prompt: Sequence[int], options: dict[str, Any]
    ) -> tuple[dict[str, Any], int]:
        """The answer from the named cache and the tokens probed, or an Unserved that says why not."""
        cache = self._checked(request, prompt, options)
        salted = (*salted_ids(cache, request.salt), *prompt[cache.length :])
        with self._locks.setdefault(request.slot, Lock()):
            try:
                self._put(cache, request.slot, salted[: cache.length])
                told = self._completion(salted, options | {"id_slot": request.slot, "n_cache_reuse": 0})
            finally:
                with suppress(PkvError):
                    self._post(f"/slots/{request.slot}?action=erase", {})
        # Someone else's prompt may have taken the slot between the two: then these ids were computed as text.
        counted, settings = told.get("timings"), told.get("generation_settings")
        if not isinstance(counted, dict) or not isinstance(settings, dict):
            cause = "the server does not tell what it took from its cache (timings, generation_settings)"
            raise Unserved("engine", cause, "use a llama.cpp that does")
        if int(counted.get("cache_n", 0)) < cache.length:
            raise _taken()
        penalties = {name: settings.get(name, off) != off for name, off in _PENALTIES.items()}
        if any(penalties.values()):
            named = ", ".join(name for name, on in penalties.items() if on)
            raise Unserved("penalties", f"{named} would count ids that stand for others", "leave them off")
        return told, cache.probe_keys.shape[2]

    def _checked(self, request: Request, prompt: Sequence[int], options: dict[str, Any]) -> Stored:
        """The cache that a request names, when the request may have it."""
        if not request.salt:
            raise Unserved("no salt", "a cache was named without a salt", "give a salt with it")
        for name in sorted(_OWN & options.keys()):
            raise Unserved("options", f"'{name}' cannot be chosen with a cache", "leave it out")
        cache = stored.read(stored.path_of(self.caches, request.cache))
        if tuple(prompt[: cache.length]) != cache.ids:
            hint = "send the ids that it was made of"
            raise Unserved("other ids", "the prompt does not begin with the cache's token ids", hint)
        if len(prompt) == cache.length:
            raise Unserved("other ids", "the prompt ends with the cache", "send at least one token after it")
        if any(window is not None for window in cache.windows):
            hint = "use vLLM"
            raise Unserved("slot file", "models with sliding windows have slot files of another form", hint)
        return cache

    def _put(self, cache: Stored, slot: int, ids: Sequence[int]) -> None:
        """Write the cache's columns into a slot, under the ids given.

        Raises:
            Unserved: the server's columns of the first tokens are not the model's, or its slot files are of a
                form that is not known here.
        """
        name = f"pkv-{cache.key[:16]}-{slot}-{os.getpid()}.bin"
        path = self.slots / name
        try:
            like = self._probe(cache, slot, name)
            keys = cache.keys.float().numpy()
            turned = paired(keys) if self._is_paired(cache, like) else keys
            atomic_write(path, write_slot(like, ids, turned, cache.values.float().numpy()))
            told = self._post(f"/slots/{slot}?action=restore", {"filename": name})
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        if told.get("n_restored") != len(ids):
            cause = f"the server took {told.get('n_restored')} of {len(ids)} columns"
            raise Unserved("engine", cause, "see its log")

    def _probe(self, cache: Stored, slot: int, name: str) -> SlotFile:
        """What the server itself computes for the cache's first tokens, in the form of its slot files."""
        layers, heads, count, width = cache.probe_keys.shape
        asked = {"n_predict": 0, "id_slot": slot, "cache_prompt": False}
        self._post("/completion", {"prompt": list(cache.ids[:count]), **asked})
        self._post(f"/slots/{slot}?action=save", {"filename": name})
        try:
            content = (self.slots / name).read_bytes()
        except OSError as error:
            cause = f"the server saved a slot, and {self.slots} has no such file"
            raise Unserved("engine", cause, "give its --slot-save-path") from error
        like = read_slot(content, layers, heads, width)
        if like.ids != cache.ids[:count]:
            raise _taken()
        return like

    def _is_paired(self, cache: Stored, like: SlotFile) -> bool:
        """Whether the server holds keys in pairs; both layouts are tried on its own columns."""
        ours = cache.probe_keys.float().numpy()
        if not _close(like.values, cache.probe_values.float().numpy(), self.allowed):
            raise _other_weights()
        for is_paired in (True, False):
            if _close(like.keys, paired(ours) if is_paired else ours, self.allowed):
                return is_paired
        raise _other_weights()

    def _completion(self, prompt: Sequence[int], options: dict[str, Any]) -> dict[str, Any]:
        return self._post("/completion", {"cache_prompt": True, **options, "prompt": list(prompt)})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._client.post(path, json=body)
            told = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unserved("engine", f"the server does not answer {path}: {error}", "start it") from error
        if answer.status_code != 200:
            raise Unserved("engine", f"the server refuses {path}: {told}", "see its log")
        return told


def salted_ids(cache: Stored, salt: str) -> tuple[int, ...]:
    """Ids under which a cache lies in a slot: drawn from salt and name, each another than the true one."""
    drawn = []
    for at, true in enumerate(cache.ids):
        digest = hashlib.sha256(f"{cache.key}:{at}:{salt}".encode()).digest()
        other = int.from_bytes(digest[:8], "big") % (cache.vocab - 1)
        drawn.append(other + (other >= true))
    return tuple(drawn)


def _close(theirs: Array, ours: Array, allowed: float) -> bool:
    """Whether two sets of columns differ by a share of the largest number at most, layer by layer."""
    miss = np.abs(theirs - ours).max((1, 2, 3))
    return bool((miss <= allowed * np.abs(ours).max((1, 2, 3))).all())


def _other_weights() -> Unserved:
    cause = "the server computes other columns than the cache's model"
    return Unserved("other weights", cause, "serve the model that it was made with")


def _taken() -> Unserved:
    return Unserved("taken", "another request took the slot", "give cached requests a slot of their own")
