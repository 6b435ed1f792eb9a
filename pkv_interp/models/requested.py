"""What was asked for, by content: known before any weight is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pkv_interp.errors import PkvError
from pkv_interp.models import embedded
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.catalogue import ModelConfig
from pkv_interp.models.hashing import file_sha256
from pkv_interp.models.hub_commit import resolve_commit
from pkv_interp.models.shipped import shipped_folder
from pkv_interp.paths import expanded

#: What loading a checkpoint or a tokenizer may read of a folder.
_READ = frozenset({".safetensors", ".bin", ".gguf", ".json", ".model", ".jinja", ".txt", ".tiktoken"})
#: Keys of config.json that say where a model came from. All others count: generation reads token ids there.
_ORIGIN = frozenset({"_name_or_path", "name_or_path", "transformers_version"})
_TEMPLATES = "additional_chat_templates"


def requested_weights(config: ModelConfig, *, ask_hub: bool = True) -> str:
    """SHA-256 over what decides the weights and the tokenizer.

    Of a folder or file the content counts and not the path, so that other weights under the same path are
    other weights; of a repository on a hub the commit that its revision stands for now.

    Args:
        config: what was asked for.
        ask_hub: False looks up a revision in the local cache alone.

    Raises:
        PkvError: a file cannot be read, or a revision cannot be resolved.
    """
    digest = hashlib.sha256()
    digest.update(f"{config.source} {config.quantise_4bit} {config.seed}\n".encode())
    try:
        match config.source:
            case "tiny":
                digest.update(f"{config.family}\n".encode())
            case "table":
                pass  # its models follow from the seed and from code, which the measurement key is over
            case "embedded":
                package = embedded.PACKAGES[config.package or embedded.DEFAULT]
                digest.update(f"{package.revision} {package.quantised}\n".encode())
            case "shipped":
                _add(digest, shipped_folder(str(config.path)))
            case "local" | "gguf" if config.path is not None:
                _add(digest, expanded(config.path))
            case _:
                commit = resolve_commit(str(config.hub_id), config.revision, ask_hub=ask_hub)
                digest.update(f"{config.hub_id} {config.gguf_file} {commit}\n".encode())
        if config.adapter is not None:
            _add(digest, find_adapter(config.adapter))
    except OSError as error:
        raise PkvError(f"{error.filename} cannot be read: {error.strerror}", "check the file") from error
    return digest.hexdigest()


def _add(digest: hashlib._Hash, place: Path) -> None:
    for path in [place] if place.is_file() else _files(place):
        name = path.relative_to(place).as_posix() if path != place else ""
        digest.update(f"{name} {_content(path)}\n".encode())


def _files(folder: Path) -> list[Path]:
    """Files that loading may read. Other folders below are not looked into: results may lie in them."""

    def readable(place: Path) -> Iterator[Path]:
        yield from (path for path in place.glob("*") if path.suffix in _READ and path.is_file())

    found = {*readable(folder), *readable(folder / _TEMPLATES)}
    for index in folder.glob("*.index.json"):
        found |= {folder / name for name in shards_of(index) if (folder / name).is_file()}
    return sorted(found)


def shards_of(index: Path) -> list[str]:
    """Files that an index of shards names, sorted; none where it is damaged."""
    try:
        return sorted({str(name) for name in json.loads(index.read_text("utf-8"))["weight_map"].values()})
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return []


def _content(path: Path) -> str:
    if path.name != "config.json":
        return file_sha256(path)
    # Where it came from is no part of the configuration.
    try:
        told = json.loads(path.read_text("utf-8"))
        plain = {name: value for name, value in told.items() if name not in _ORIGIN}
    except (ValueError, AttributeError):
        return file_sha256(path)
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
