"""The identity of weights that were asked for, known before they are loaded."""

import hashlib
from pathlib import Path

from pkv_interp.models import embedded
from pkv_interp.models.adapter import find_adapter
from pkv_interp.models.catalogue import ModelConfig

_WEIGHTS = frozenset({".safetensors", ".bin", ".gguf", ".json", ".model", ".jinja", ".txt"})
_BLOCK = 1 << 22


def requested_weights(config: ModelConfig) -> str:
    """SHA-256 over what decides the weights and the tokenizer: contents of local files, else names.

    A folder or file is read whole, so that other weights under the same path are other weights. Of a
    repository on a hub the name and the revision are taken.
    """
    digest = hashlib.sha256()
    digest.update(f"{config.source} {config.quantise_4bit} {config.seed}\n".encode())
    match config.source:
        case "tiny":
            digest.update(f"{config.family}\n".encode())
        case "embedded":
            package = embedded.PACKAGES[config.package or embedded.DEFAULT]
            digest.update(f"{package.revision} {package.quantised}\n".encode())
        case "local" | "gguf" if config.path is not None:
            _add(digest, Path(config.path).expanduser())
        case _:
            digest.update(f"{config.hub_id} {config.gguf_file} {config.revision}\n".encode())
    if config.adapter is not None:
        _add(digest, find_adapter(config.adapter))
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", place: Path) -> None:
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.suffix in _WEIGHTS)
    for path in files:
        name = path.relative_to(place).as_posix() if path != place else ""
        digest.update(f"{name} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
