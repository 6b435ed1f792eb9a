"""The identity of a run: what was asked, of which model, by which code."""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic_core import PydanticSerializationError, to_jsonable_python

from pkv_interp.errors import PkvError

# Where results and caches lie and how much memory may be used does not change what is measured.
IGNORED = frozenset({"results_dir", "cache_dir", "hydra", "memory_budget_mb", "resume"})
PACKAGES = ("pkv_interp", "experiments")
_SOURCES = frozenset({".py", ".json", ".yaml", ".txt"})


def _has_set(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_has_set(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return any(_has_set(inner) for inner in value)
    return isinstance(value, set | frozenset)


def jsonable(value: Mapping[str, Any], what: str) -> dict[str, Any]:
    """``value`` with paths, enums, tuples and models turned to JSON types.

    Raises:
        PkvError: something in it has no JSON form, or is not finite.
    """
    if _has_set(value):
        raise PkvError(f"{what} holds a set, which has no order", "use a list or a tuple")
    try:
        plain = to_jsonable_python(dict(value), inf_nan_mode="constants")
        return json.loads(json.dumps(plain, allow_nan=False))
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise PkvError(f"{what} cannot be written as JSON: {error}", "use plain finite values") from error


def _without(value: Any, ignored: frozenset[str]) -> Any:
    if isinstance(value, dict):
        return {name: _without(inner, ignored) for name, inner in value.items() if name not in ignored}
    if isinstance(value, list):
        return [_without(inner, ignored) for inner in value]
    return value


def identity(
    model: Mapping[str, Any], config: Mapping[str, Any], ignore: Iterable[str] = ()
) -> dict[str, Any]:
    """The configuration as it is recorded: JSON types, the model under "model", and nothing that is ignored.

    Raises:
        PkvError: something in it has no JSON form.
    """
    plain = jsonable(config, "the configuration") | {"model": jsonable(model, "the model configuration")}
    return _without(plain, IGNORED | frozenset(ignore))


def content_key(
    *,
    experiment: str,
    model: Mapping[str, Any],
    config: Mapping[str, Any],
    seed: int,
    ignore: Iterable[str] = (),
    code: str | None = None,
) -> str:
    """SHA-256 (64 hexadecimal digits) over everything that can change the result.

    Args:
        model: the requested model, device and dtype as asked for. A local path is part of it: another folder
            is another model.
        config: the resolved configuration; keys named in ``IGNORED`` or ``ignore`` are left out at any depth.
        code: the code version; None takes that of the installed packages.
    """
    document = {
        "experiment": experiment,
        "config": identity(model, config, ignore),
        "seed": seed,
        "code": code_version() if code is None else code,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [] if spec is None else sorted(Path(place) for place in spec.submodule_search_locations or ())


def _is_figure(path: Path) -> bool:
    """Figures only read records: a change of theirs makes no finished run stale."""
    return path.parts[0] == "figures" or path.name == "figures.py"


def hash_sources(folders: Mapping[str, Iterable[Path]]) -> str:
    """SHA-256 over the source and text data files of ``folders`` (package name to its folders), by path."""
    digest = hashlib.sha256()
    for package, places in sorted(folders.items()):
        for place in places:
            files = (
                path
                for path in place.rglob("*")
                if path.suffix in _SOURCES and path.is_file() and not _is_figure(path.relative_to(place))
            )
            for path in sorted(files, key=lambda path: path.relative_to(place).as_posix()):
                content = path.read_bytes()
                name = f"{package}/{path.relative_to(place).as_posix()}"
                digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def code_version() -> str:
    """Hash of every Python and text data file of the library and the experiments, read once a process.

    Published figures are CSV and not part of it: they are compared with, never computed from.
    """
    return hash_sources({package: _folders(package) for package in PACKAGES})
