"""Which requests an engine serves from an exported cache, and where the columns of each are kept apart.

Imports the standard library and torch alone, beside ``stored``.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pkv_interp.serving import stored
from pkv_interp.serving.stored import Stored, Unserved

#: Caches that stay in memory, the one last used longest.
KEPT = 4


@dataclass(frozen=True)
class Served:
    """What an engine serves.

    Attributes:
        weights: sha256 of them, or the reason why there is none.
        settings: its configuration as transformers has it.
        dtype: of weights and cache, as "float32".
    """

    weights: str | Unserved
    settings: Mapping[str, Any]
    dtype: str


class Shelf:
    """Exported caches of a folder, read once and again when their file changes.

    Args:
        folder: that ``export`` wrote to.
        whole: keep their columns, and not only what they are of.
    """

    def __init__(self, folder: Path, *, whole: bool) -> None:
        self.folder, self._whole = folder, whole
        self._kept: OrderedDict[str, tuple[tuple[int, ...], Stored]] = OrderedDict()

    def get(self, key: object) -> Stored:
        """A cache by its name.

        Raises:
            Unserved: it is not there, or damaged.
        """
        path = stored.path_of(self.folder, key)
        state = _state(path)
        found = self._kept.pop(path.stem, None)
        if found is None or found[0] != state:
            cache = stored.read(path)
            if not self._whole:
                none = cache.keys.new_empty(0)
                cache = replace(cache, keys=none, values=none, probe_keys=none, probe_values=none)
            found = (state, cache)
        self._kept[path.stem] = found
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return found[1]


def _state(path: Path) -> tuple[int, ...]:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def admit(
    shelf: Shelf,
    served: Served,
    name: object,
    salt: str | None,
    prompt: Sequence[int],
    besides: Sequence[str],
) -> Stored:
    """The cache that a request names, when the request may have it.

    Args:
        shelf: of the caches.
        served: what the engine serves.
        name: of the cache, as the request gives it.
        salt: as the request gives it.
        prompt: its token ids.
        besides: what else the request brings that changes its columns or forbids reading them.

    Raises:
        Unserved: why it may not.
    """
    if not salt:
        raise Unserved("no salt", "a cache was named without a salt", "send cache_salt with it")
    if besides:
        raise Unserved("options", f"a cache was named beside {', '.join(besides)}", "leave that out")
    cache = shelf.get(name)
    if tuple(prompt[: len(cache.ids)]) != cache.ids:
        hint = "send the ids that it was made of"
        raise Unserved("other ids", "the prompt does not begin with the cache's token ids", hint)
    if len(prompt) == len(cache.ids):
        raise Unserved("other ids", "the prompt ends with the cache", "send at least one token after it")
    _check_model(cache, served)
    return cache


def _check_model(cache: Stored, served: Served) -> None:
    hint = "serve the model that made the cache"
    if isinstance(served.weights, Unserved):
        raise served.weights
    if cache.dtype != served.dtype:
        cause = f"the cache is in {cache.dtype}, and the engine serves {served.dtype}"
        raise Unserved("other weights", cause, hint)
    if cache.weights != served.weights:
        raise Unserved("other weights", "the cache was made by other weights", hint)
    for name in sorted(cache.settings.keys() & served.settings.keys()):
        ours, theirs = (_plain(one[name]) for one in (cache.settings, served.settings))
        if ours != theirs:
            cause = f"the cache's model has {name} = {ours}, and the engine {theirs}"
            raise Unserved("other weights", cause, hint)


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def namespace(cache: Stored, salt: str, secret: str) -> str:
    """The salt under which an engine keeps a request's columns, of its own for each cache, salt and start.

    Nobody who does not know the secret can send it, so no plain request meets these columns; and two caches
    of one text that come with one salt do not meet each other.
    """
    return hashlib.sha256(json.dumps([secret, cache.key, salt]).encode()).hexdigest()
